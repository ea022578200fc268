"""Makes standard input, output and error fit for a terminal, a pipe or a file."""

import codecs
import contextlib
import os
import stat
import sys
from typing import TextIO

ESCAPED = "ds2.escaped"
"""The name of the error handler `escaped` in Python."""


def open_streams() -> None:
    """Make the three streams usable with every terminal, pipe or file.

    A stream that the caller closed (`>&-`) reads nothing and writes nowhere. A regular file gets
    UTF-8. A terminal or pipe keeps its encoding. A character outside this encoding becomes an
    escape. Without this, Python would raise UnicodeEncodeError.
    """
    _fill_closed()
    codecs.register_error(ESCAPED, escaped)
    for stream in (sys.stdout, sys.stderr):
        _make_safe(stream)


def escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Escapes for characters that an encoding lacks: \uXXXX, and two of them above U+FFFF.

    These are JSON's escapes, so JSON stays JSON and loses nothing. Half characters get them, too.
    Python makes half characters from bytes in file names that are not text.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[index : index + 2] for index in range(0, len(units), 2))
    return "".join(f"\\u{pair.hex()}" for pair in pairs), error.end


def _fill_closed() -> None:
    """Open the null device for each closed stream.

    Otherwise the next open file would get the number of standard output, and also the text that
    libraries print there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the system takes the lowest free number
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _make_safe(stream: TextIO) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None:  # a Python caller replaced the stream
        return
    if _is_file(stream):
        reconfigure(encoding="utf-8", errors=ESCAPED)
    else:
        reconfigure(errors=ESCAPED)


def _is_file(stream: TextIO) -> bool:
    """Whether output goes into a regular file."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # not every stream belongs to the system
        return False
