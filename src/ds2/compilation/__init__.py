"""Compiling loops to machine code: the only part that knows numba.

Compiled code is kept on disk, beside the source or in the user's cache directory, so it is compiled
once for each version of the source. Where nothing can be written, it is compiled in memory.
"""

import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import event

from ds2.compilation.structures import structure

__all__ = ["compiled", "inlined", "over_arrays", "stamp_of", "structure"]

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger(__name__)

_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}  # counts no references of arrays
_OUTSIDE, _INSIDE = _OPTIONS, _OPTIONS
try:
    from ds2.compilation.shortcuts import Inside, Outside

    _OUTSIDE = _OPTIONS | {"pipeline_class": Outside, "no_cfunc_wrapper": True}
    _INSIDE = _OUTSIDE | {"pipeline_class": Inside, "no_cpython_wrapper": True}
except (ImportError, AttributeError) as error:  # they are parts of numba without a public name
    logger.debug("this numba compiles in its own way, which takes longer: %s", error)

_SUBJECTS = {
    "alignment": "the alignment",
    "network": "the network's loops",
    "ngram": "the language model's look-ups",
}


def compiled(function: F) -> F:
    """A function that Python calls; it lets go of Python's lock while it runs.

    It may take arrays and write in them, but make none: what counts the references of arrays is
    left out, for it would cost more than the rest.
    """
    return _compiled(function)


def over_arrays(function: F) -> F:
    """The same for loops over arrays, in which a division by zero is infinite, as in numpy.

    Without an error to raise, the processor can work on many items at once.
    """
    return _compiled(function, error_model="numpy")


def _compiled(function: F, **more: Any) -> F:
    options = _OUTSIDE | more
    try:
        return cast(F, _stamped(njit(cache=True, **options)(function)))
    except RuntimeError:  # numba finds no directory that it can write to
        _tell_of_no_directory()
        return cast(F, njit(**options)(function))


def inlined(function: F) -> F:
    """The same for compiled code alone: it goes into what calls it."""
    return cast(F, njit(**_INSIDE)(function))


@cache
def _tell_of_no_directory() -> None:
    logger.warning(
        "compiled code cannot be kept, so every start compiles: "
        "set NUMBA_CACHE_DIR to a directory that can be written to"
    )


@cache
def _tell_of_compiling(subject: str) -> None:
    logger.info("compiling %s, once", subject)


class _Teller(event.Listener):
    """Tells of our functions when numba compiles them, which it does not if it has their code.

    numba calls it under its lock, so for one thread at a time.
    """

    def __init__(self) -> None:
        self._depth = 0  # what a function calls is compiled while the function is

    def on_start(self, compiling: Any) -> None:
        """The names of the parts are those of the folders."""
        parts = compiling.data["dispatcher"].py_func.__module__.split(".")
        if parts[0] == "ds2" and not self._depth:
            _tell_of_compiling(_SUBJECTS.get(parts[-2], "the search"))
        self._depth += 1

    def on_end(self, _compiling: Any) -> None:
        """Of a function, whether it could be compiled or not."""
        self._depth -= 1


event.register("numba:compile", _Teller())


def _stamped(dispatcher: Any) -> Any:
    """The function, compiled anew whenever one that it calls may have changed.

    What numba keeps on disk holds the code of the functions that it calls, too, but numba looks at
    the date of the one source file alone: after an update of another it would run the old code. Its
    stamp of the source has no public name, so a numba that has none goes without.

    An index that cannot be read counts as none: an older version of ds2 may have left it, with
    names of classes that are gone.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        stamp = stamp_of(Path(__file__).parents[1])
        cache_file._source_stamp = (cache_file._source_stamp, stamp)
    if cache_file is not None and hasattr(cache_file, "_load_index"):
        cache_file._load_index = partial(_read_or_none, cache_file._load_index)
    return dispatcher


def _read_or_none(read: Callable[[], dict[Any, Any]]) -> dict[Any, Any]:
    try:
        return read()
    except (AttributeError, ImportError, EOFError, ValueError, UnpicklingError) as error:
        logger.debug("the index of compiled code cannot be read, so it is made anew: %s", error)
        return {}


@cache
def stamp_of(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time of change and size of every file of the package that is compiled.

    directory: the package's.
    """
    parts = ("compilation", "ctc", "ngram")
    paths = sorted(path for part in parts for path in directory.glob(f"{part}/**/*.py"))
    stats = [(path, path.stat()) for path in paths]
    return tuple(
        (str(path.relative_to(directory)), stat.st_mtime_ns, stat.st_size) for path, stat in stats
    )
