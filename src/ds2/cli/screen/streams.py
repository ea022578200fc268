"""Standard input, output and error, made fit for whatever is behind them."""

import codecs
import contextlib
import os
import stat
import sys
from typing import TextIO

ESCAPED = "ds2.escaped"
"""The name of `escaped` among Python's error handlers."""


def open_streams() -> None:
    """Make the three streams usable, whatever the terminal, pipe or file behind them.

    A stream that the caller closed (`>&-`) reads nothing and writes nowhere. A regular file gets
    UTF-8. A terminal or pipe keeps its encoding; a character that this cannot hold becomes an
    escape, where Python would raise UnicodeEncodeError.
    """
    _fill_closed()
    codecs.register_error(ESCAPED, escaped)
    for stream in (sys.stdout, sys.stderr):
        _make_safe(stream)


def escaped(error: UnicodeError) -> tuple[str, int]:
    r"""What stands for characters that an encoding lacks: \uXXXX, two of them above U+FFFF.

    These are JSON's escapes, so that JSON stays JSON and loses nothing. They stand for half
    characters, too, which Python makes of bytes in file names that are not text.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[index : index + 2] for index in range(0, len(units), 2))
    return "".join(f"\\u{pair.hex()}" for pair in pairs), error.end


def _fill_closed() -> None:
    """Open the null device where a stream is closed.

    Without it the next file that is opened would get the number of standard output, and with it
    whatever a library prints there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _make_safe(stream: TextIO) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None:  # what a caller in Python put in its place
        return
    if _is_file(stream):
        reconfigure(encoding="utf-8", errors=ESCAPED)
    else:
        reconfigure(errors=ESCAPED)


def _is_file(stream: TextIO) -> bool:
    """Whether output goes into a regular file."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # not every stream is one of the system's
        return False
