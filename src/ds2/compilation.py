"""Compiling loops to machine code: the only file that knows numba.

Compiled code is kept on disk, beside the source or in the user's cache directory, so it is compiled
once for each version of the source.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

_WITHOUT_COUNTS: dict[str, Any] = {"_nrt": False}


def compiled(function: Callable[..., Any]) -> Any:
    """A function that Python calls; it lets go of Python's lock while it runs.

    It may take arrays and write in them, but make none: what counts the references of arrays is
    left out, for it would cost more than the rest.
    """
    return _stamped(njit(cache=True, nogil=True, **_WITHOUT_COUNTS)(function))


def over_arrays(function: Callable[..., Any]) -> Any:
    """The same for loops over arrays, in which a division by zero is infinite, as in numpy.

    Without an error to raise, the processor can work on many items at once.
    """
    options: dict[str, Any] = {"error_model": "numpy"}
    return _stamped(njit(cache=True, nogil=True, **options, **_WITHOUT_COUNTS)(function))


def inlined(function: Callable[..., Any]) -> Any:
    """The same for compiled code alone: without a door to Python it compiles sooner."""
    doors: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _stamped(njit(cache=True, nogil=True, **doors, **_WITHOUT_COUNTS)(function))


def _stamped(dispatcher: Any) -> Any:
    """The function, compiled anew whenever one that it calls may have changed.

    What numba keeps on disk holds the code of the functions that it calls, too, but numba looks at
    the date of the one source file alone: after an update of another it would run the old code. Its
    stamp of the source has no public name, so a numba that has none goes without.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, _stamp_of_all())
    return dispatcher


@cache
def _stamp_of_all() -> tuple[tuple[str, int, int], ...]:
    """Name, time of change and size of every source file of the package."""
    directory = Path(__file__).parent
    files = [*directory.glob("ngram/**/*.py"), *directory.glob("ctc/**/*.py"), Path(__file__)]
    stats = [(str(path.relative_to(directory)), path.stat()) for path in sorted(files)]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
