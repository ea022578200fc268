"""Read the files beside weights: YAML, JSON, lists of tokens."""

import json
import math
import os
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.files import read_text

CHECKPOINTS = (".pdparams", ".pth", ".ckpt", ".pt")
"""How the files end that hold the weights of another toolkit's model."""


def find_checkpoint(path: Path) -> Path | None:
    """The file itself, or the first file below the directory, whose name is a checkpoint's."""
    if path.is_file():
        return path if path.suffix.lower() in CHECKPOINTS else None
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            if name.lower().endswith(CHECKPOINTS):
                return Path(folder, name)
    return None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Raises InputError."""
    return read_text(path).replace("\r\n", "\n").split("\n")


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file. Raises InputError."""
    import yaml

    text = "\n".join(read_lines(path))
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: has no settings")
    return data


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError."""
    try:
        data = json.loads("\n".join(read_lines(path)))
    except ValueError as error:
        raise InputError(f"{path}: is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: has no JSON object")
    return data


def take(data: dict[str, Any], key: str, kind: type, where: Path | str, default: Any = None) -> Any:
    """data[key] with this type. Raises InputError that names the key."""
    value = data.get(key, default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if value is None:
        raise InputError(f"{where}: {key}: is missing")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: {key}: {value!r} is not of type {kind.__name__}")
    return value


def take_numbers(data: dict[str, Any], key: str, count: int, where: Path) -> list[float]:
    """data[key], `count` finite numbers. Raises InputError that names the key."""
    values = take(data, key, list, where)
    if len(values) != count:
        raise InputError(f"{where}: {key}: must have {count} numbers, not {len(values)}")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise InputError(f"{where}: {key}: must have finite numbers only")
    return [float(value) for value in values]
