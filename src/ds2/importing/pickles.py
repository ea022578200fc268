"""Read pickles of arrays without running any code that they name."""

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
    """The type of an array's numbers, while a pickle builds it: its code, then its byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or code[:1] not in tuple("fiub") or len(code) > 2:
            raise _Refused("an array of values that are not numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and state[1:2] == (">",):
            self.value = self.value.newbyteorder(">")


class _PendingArray:
    """An array, while a pickle builds it: the pickle makes it, then gives shape, type and bytes."""

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _Refused("an array without shape, type and bytes")
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _PendingType) or not isinstance(data, bytes):
            raise _Refused("an array of values that are not numbers")
        order: Any = "F" if is_fortran else "C"
        self.value = np.frombuffer(data, dtype.value).reshape(shape, order=order)


def _reconstruct(*_: Any) -> _PendingArray:
    return _PendingArray()


def _encode(text: Any, encoding: Any) -> bytes:
    """The function with which pickles of protocol 2 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("_codecs.encode")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """The function with which pickles of protocols before 3 write empty bytes."""
    return b""


ADMITTED: Mapping[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): _reconstruct for module in ARRAY_MODULES},
    ("numpy", "ndarray"): _PendingArray,
    ("numpy", "dtype"): _PendingType,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
"""The only names that a pickle may have; ds2 refuses and does not import any other name."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise _Refused(f"{module}.{name}")
        return ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _Refused(f"a reference to something outside: {str(pid)[:40]}")


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of numbers in a pickled dictionary, such as PaddlePaddle's `.pdparams`.

    Raises InputError if the file names anything except arrays and plain containers, if it is cut
    off, or if it is not such a pickle.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {str(error.strerror).lower()}") from None
    try:
        content = _Unpickler(io.BytesIO(data)).load()
    except _Refused as error:
        raise InputError(
            f"{path}: names {error}: refused, because a checkpoint may have only arrays"
        ) from None
    except Exception as error:  # a file that is not a pickle can raise anything
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(
            f"{path}: is cut off or not a checkpoint of PaddlePaddle ({reason}): fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: is not a checkpoint of PaddlePaddle: it has no names")
    arrays = {}
    for name, value in content.items():
        value = value.value if isinstance(value, _PendingArray) else value
        if isinstance(name, str) and isinstance(value, np.ndarray):
            arrays[name] = np.asarray(value, np.float32)
    if not arrays:
        raise InputError(f"{path}: has no arrays")
    return arrays
