"""Reads checkpoints that other toolkits wrote with torch, without running any code in them."""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ds2.errors import InputError

ADMITTED_PACKAGES = (
    "collections",
    "deepspeech_pytorch",
    "lightning",
    "lightning_fabric",
    "omegaconf",
    "pathlib",
    "pytorch_lightning",
    "torch.nn.modules.rnn",
    "typing",
)
ADMITTED_NAMES = (
    "_operator.getitem",  # files use it to hold tuple[int, int]
    *(f"builtins.{name}" for name in ("Ellipsis", "bool", "dict", "float", "int", "list")),
    *(f"builtins.{name}" for name in ("object", "set", "str", "tuple")),
)
"""Names that a checkpoint may hold beside tensors. None is imported: records stand for them."""
MOST_NAMES = 64
DEFAULT_DICT = "collections.defaultdict"


class Record:
    """Stands for an object of a class that is not imported. Keeps its arguments and its content."""

    def __init__(self, *made_from: Any) -> None:
        self.made_from = made_from


def read_torch(path: Path) -> dict[str, Any]:
    """The content of a file that `torch.save` wrote, with tensors as arrays.

    Raises InputError if the file is cut off or no checkpoint, or if it names something that a
    checkpoint of Deep Speech 2 does not need.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    names: set[str] = set()
    while True:
        try:
            content = _load(path, names)
            break
        except Exception as error:  # a file that is cut off can raise anything
            name = _unknown_name(error)
            if name is None or name in names or len(names) >= MOST_NAMES:
                raise InputError(
                    f"{path}: is cut off or no checkpoint of torch: fetch it again: "
                    f"{_reason(error)}"
                ) from None
            names.add(_admitted(path, name))
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no checkpoint: it holds a {type(content).__name__}")
    plain: dict[str, Any] = _plain(content)
    return plain


def _load(path: Path, names: Iterable[str]) -> Any:
    """The content, with records for the objects of these names."""
    # A class for each name: torch tells a class by its identity.
    stand_ins: list[Any] = [
        (_new_dict if name == DEFAULT_DICT else type("Record", (Record,), {}), name)
        for name in sorted(names)
    ]
    with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
        warnings.simplefilter("ignore")  # torch warns of the storages in old files
        return torch.load(path, map_location="cpu", weights_only=True)


def _unknown_name(error: Exception) -> str | None:
    """The name that stopped torch, as files hold it. torch shows a builtin without its module."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None:
        return None
    return found[1] if "." in found[1] else f"builtins.{found[1]}"


def _new_dict(*_: Any) -> dict[Any, Any]:
    """Stands for a defaultdict, whose keys follow."""
    return {}


def _admitted(path: Path, name: str) -> str:
    is_of_package = any(name.startswith(f"{package}.") for package in ADMITTED_PACKAGES)
    if not is_of_package and name not in ADMITTED_NAMES:
        raise InputError(f"{path}: names {name}: refused, because a checkpoint does not need it")
    return name


def _plain(value: Any) -> Any:
    """The value with float32 arrays in place of tensors, in dicts and lists too."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(torch.float32).numpy()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _reason(error: Exception) -> str:
    """The reason that torch gives, without its advice to trust the file."""
    text = str(error).rpartition("error: ")[2]
    return " ".join(text.split())[:100] or type(error).__name__
