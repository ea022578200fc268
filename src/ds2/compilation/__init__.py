"""Compiles loops to machine code. Only this part uses numba.

numba keeps compiled code on disk, beside the source or in the user's cache directory. So it
compiles once for each version of the source. If it cannot write there, it compiles in memory.
"""

import logging
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import event

from ds2.compilation.structures import structure

__all__ = ["compiled", "inlined", "over_arrays", "stamp_of", "structure"]

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger(__name__)

_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}  # no reference counts for arrays
_OUTSIDE, _INSIDE = _OPTIONS, _OPTIONS
try:
    from ds2.compilation.shortcuts import Inside, Outside

    _OUTSIDE = _OPTIONS | {"pipeline_class": Outside, "no_cfunc_wrapper": True}
    _INSIDE = _OUTSIDE | {"pipeline_class": Inside, "no_cpython_wrapper": True}
except (ImportError, AttributeError) as error:  # they use parts of numba without a public name
    logger.debug("this numba compiles in its own way, which takes longer: %s", error)

_SUBJECTS = {
    "alignment": "the alignment",
    "network": "the network's loops",
    "ngram": "the language model's look-ups",
}


def compiled(function: F) -> F:
    """Compile a function that Python calls. It releases Python's lock while it runs.

    The function may read and write arrays, but it cannot make any: reference counts for arrays
    are off, because they would cost more than the rest.
    """
    return _compiled(function)


def over_arrays(function: F) -> F:
    """The same for loops over arrays. A division by zero gives infinity, as in numpy.

    Without an error to raise, the processor can work on many items at once.
    """
    return _compiled(function, error_model="numpy")


def _compiled(function: F, **more: Any) -> F:
    options = _OUTSIDE | more
    try:
        return cast(F, _stamped(njit(cache=True, **options)(function)))
    except RuntimeError:  # numba found no directory that it can write to
        _tell_of_no_directory()
        return cast(F, njit(**options)(function))


def inlined(function: F) -> F:
    """Compile a function that only compiled code calls. It becomes part of its callers."""
    return cast(F, njit(**_INSIDE)(function))


@cache
def _tell_of_no_directory() -> None:
    logger.warning(
        "ds2 cannot keep compiled code, so it compiles at every start: "
        "set NUMBA_CACHE_DIR to a directory that it can write to"
    )


@cache
def _tell_of_compiling(subject: str) -> None:
    logger.info("compiling %s, once", subject)


class _Teller(event.Listener):
    """Logs when numba compiles our functions. numba does not call it if it has their code.

    numba calls it under its lock, so one thread at a time.
    """

    def __init__(self) -> None:
        self._depth = 0  # functions inside others are compiled with them

    def on_start(self, compiling: Any) -> None:
        """Log the part of ds2 that the function belongs to, by its folder."""
        parts = compiling.data["dispatcher"].py_func.__module__.split(".")
        if parts[0] == "ds2" and not self._depth:
            _tell_of_compiling(_SUBJECTS.get(parts[-2], "the search"))
        self._depth += 1

    def on_end(self, _compiling: Any) -> None:
        """Count the end of a compilation, successful or not."""
        self._depth -= 1


event.register("numba:compile", _Teller())


def _stamped(dispatcher: Any) -> Any:
    """The function. numba compiles it again whenever a function that it calls may have changed.

    numba keeps a function's code on disk together with the code of the functions that it calls.
    But it checks the date of one source file only: after a change in another file, it would run
    the old code. So the stamp of the source must cover all files. It covers their contents and not
    their dates: a new installation of the same ds2 need not compile again. The stamp has no public
    name; if numba has no such stamp, this part is left out.

    An index that numba cannot read counts as missing: an older version of ds2 may have written it,
    with names of classes that no longer exist.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        own = _digest(Path(dispatcher.py_func.__code__.co_filename))
        cache_file._source_stamp = (own, stamp_of(Path(__file__).parents[1]))
    if cache_file is not None and hasattr(cache_file, "_load_index"):
        cache_file._load_index = partial(_read_or_none, cache_file._load_index)
    return dispatcher


def _read_or_none(read: Callable[[], dict[Any, Any]]) -> dict[Any, Any]:
    try:
        return read()
    except (AttributeError, ImportError, EOFError, ValueError, UnpicklingError) as error:
        logger.debug("numba cannot read the index of compiled code and makes a new one: %s", error)
        return {}


@cache
def stamp_of(directory: Path) -> tuple[tuple[str, str], ...]:
    """Name and digest of every file in the compiled parts of the package.

    directory: the package's directory.
    """
    parts = ("compilation", "ctc", "ngram")
    paths = sorted(path for part in parts for path in directory.glob(f"{part}/**/*.py"))
    return tuple((str(path.relative_to(directory)), _digest(path)) for path in paths)


@cache
def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
