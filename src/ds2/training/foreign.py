"""Checkpoints that other toolkits wrote with torch, as arrays and plain data; nothing is run."""

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
    "_operator.getitem",  # as tuple[int, int] is written
    *(f"builtins.{name}" for name in ("Ellipsis", "bool", "dict", "float", "int", "list")),
    *(f"builtins.{name}" for name in ("object", "set", "str", "tuple")),
)
"""What a checkpoint may name beside tensors; a record stands for it, it is not imported."""
MOST_NAMES = 64
DEFAULT_DICT = "collections.defaultdict"


class Record:
    """Stands for an object of a class that is not imported: what it was made from and holds."""

    def __init__(self, *made_from: Any) -> None:
        self.made_from = made_from


def read_torch(path: Path) -> dict[str, Any]:
    """What `torch.save` put into a file, tensors as arrays.

    Raises InputError if it is cut off, is no such file, or names what a checkpoint of Deep Speech 2
    has no need of.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    names: set[str] = set()
    while True:
        try:
            content = _load(path, names)
            break
        except Exception as error:  # what is cut off can raise anything
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
    """The content, with records for what is called so."""
    # A class for each name: torch tells a class by its identity.
    stand_ins: list[Any] = [
        (_new_dict if name == DEFAULT_DICT else type("Record", (Record,), {}), name)
        for name in sorted(names)
    ]
    with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
        warnings.simplefilter("ignore")  # of storages as old files have them
        return torch.load(path, map_location="cpu", weights_only=True)


def _unknown_name(error: Exception) -> str | None:
    """What torch stopped at, as it names it in files: a builtin is shown without its module."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None:
        return None
    return found[1] if "." in found[1] else f"builtins.{found[1]}"


def _new_dict(*_: Any) -> dict[Any, Any]:
    """Stands for a defaultdict: the keys follow."""
    return {}


def _admitted(path: Path, name: str) -> str:
    is_of_package = any(name.startswith(f"{package}.") for package in ADMITTED_PACKAGES)
    if not is_of_package and name not in ADMITTED_NAMES:
        raise InputError(f"{path}: names {name}: refused, as a checkpoint has no need of it")
    return name


def _plain(value: Any) -> Any:
    """Tensors as float32 arrays, records as what they hold."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(torch.float32).numpy()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _reason(error: Exception) -> str:
    """What torch says, without its advice to trust the file."""
    text = str(error).rpartition("error: ")[2]
    return " ".join(text.split())[:100] or type(error).__name__
