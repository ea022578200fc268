"""Settings: turns parsed TOML or JSON into frozen dataclasses. Errors name the key."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ds2.errors import InputError, did_you_mean

SETTINGS = ConfigDict(extra="forbid", strict=False)
"""The `__pydantic_config__` of a settings dataclass. It makes an unknown key an error."""

T = TypeVar("T")


def settings_from(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` (and the ones inside it) from plain data.

    where: the file of the data, for messages.
    Raises InputError that names the key, for unknown keys, wrong types and impossible values. A
    dataclass refuses impossible values with a ValueError in `__post_init__`.
    """
    _refuse_unknown_keys(cls, data, where, ())
    try:
        settings: T = _adapter_of(cls).validate_python(data)  # type: ignore[arg-type]
    except ValidationError as error:
        raise InputError(f"{where}: {_first_problem(error)}") from None
    return settings


def settings_to_dict(settings: Any) -> dict[str, Any]:
    """The plain data of a settings dataclass for JSON or TOML. `settings_from` reads it back."""
    adapter = _adapter_of(type(settings))  # type: ignore[arg-type]
    data: dict[str, Any] = adapter.dump_python(settings, mode="json")
    return data


@cache
def _adapter_of(cls: type[Any]) -> TypeAdapter[Any]:
    """What pydantic knows of a dataclass. To find it out takes far longer than to use it.

    Callers tell mypy that a class can be hashed.
    """
    return TypeAdapter(cls)


def _refuse_unknown_keys(
    cls: Any, data: Mapping[str, Any], where: str, path: tuple[str, ...]
) -> None:
    """Raise InputError for an unknown key. pydantic would ignore it for a standard dataclass."""
    fields = {field.name: field.type for field in dataclasses.fields(cls)}
    for key, value in data.items():
        if key not in fields:
            name = ".".join((*path, key))
            known = ", ".join(sorted(fields))
            hint = did_you_mean(key, fields)
            raise InputError(f"{where}: {name}: unknown key (known here: {known}){hint}")
        inner = fields[key]
        if dataclasses.is_dataclass(inner) and isinstance(value, Mapping):
            _refuse_unknown_keys(inner, value, where, (*path, key))


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":  # the dataclass's message begins with the field's name
        return f"{name}.{message}".removeprefix(".")
    return f"{name}: {message[0].lower()}{message[1:]}"
