"""Pickles of arrays, read without running anything that they name."""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ds2.errors import InputError

ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


class _Refused(Exception):
    """A pickle names something that is neither an array nor a plain container."""


class _PendingType:
    """The type of an array's numbers under way: its code, then its byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or code[:1] not in tuple("fiub") or len(code) > 2:
            raise _Refused("an array of something else than numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and state[1:2] == (">",):
            self.value = self.value.newbyteorder(">")


class _PendingArray:
    """An array under way: a pickle makes it, then tells its shape, type and bytes."""

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _Refused("an array without shape, type and bytes")
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _PendingType) or not isinstance(data, bytes):
            raise _Refused("an array of something else than numbers")
        order: Any = "F" if is_fortran else "C"
        self.value = np.frombuffer(data, dtype.value).reshape(shape, order=order)


def _reconstruct(*_: Any) -> _PendingArray:
    return _PendingArray()


def _encode(text: Any, encoding: Any) -> bytes:
    """What pickles of protocol 2 say bytes with."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("_codecs.encode")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What pickles of protocols before 3 say empty bytes with."""
    return b""


ADMITTED: Mapping[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): _reconstruct for module in ARRAY_MODULES},
    ("numpy", "ndarray"): _PendingArray,
    ("numpy", "dtype"): _PendingType,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
"""Whatever else a pickle names is refused, not imported."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise _Refused(f"{module}.{name}")
        return ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _Refused(f"a reference to something outside: {str(pid)[:40]}")


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of numbers in a pickled dictionary, as PaddlePaddle's `.pdparams` are.

    Raises InputError if the file names anything but arrays and plain containers, is cut off or
    is no such pickle.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {str(error.strerror).lower()}") from None
    try:
        content = _Unpickler(io.BytesIO(data)).load()
    except _Refused as error:
        raise InputError(
            f"{path}: names {error}: refused, as a checkpoint holds nothing but arrays"
        ) from None
    except Exception as error:  # a pickle that is none can raise anything
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(
            f"{path}: is cut off or no checkpoint of PaddlePaddle ({reason}): fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no checkpoint of PaddlePaddle: it holds no names")
    arrays = {}
    for name, value in content.items():
        value = value.value if isinstance(value, _PendingArray) else value
        if isinstance(name, str) and isinstance(value, np.ndarray):
            arrays[name] = np.asarray(value, np.float32)
    if not arrays:
        raise InputError(f"{path}: holds no arrays")
    return arrays
