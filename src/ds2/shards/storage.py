"""Read files on disk or at an address (s3://, gs://, https://), from front to back."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ds2.errors import InputError
from ds2.installation import needing

NUM_ATTEMPTS = 5
FIRST_WAIT_S = 0.5  # before the second attempt; it doubles before each further attempt
BLOCK_BYTES = 4 << 20  # size of a request to an address
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors for which another attempt does not help."""

T = TypeVar("T")


class SequentialReader:
    """A file from a byte on to its end; it connects again if it loses the connection.

    The first `read` opens the file. Errors that do not pass raise InputError.
    """

    def __init__(self, url: str, offset: int = 0) -> None:
        self._url = url
        self._position = offset
        self._file: Any = None

    def __enter__(self) -> "SequentialReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end of the file."""
        pieces = []
        while size > 0 and (piece := keep_trying(partial(self._read_piece, size), self._url)):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _read_piece(self, size: int) -> bytes:
        try:
            if self._file is None:
                self._file = _open(self._url)
                _go_to(self._file, self._position)
            piece: bytes = self._file.read(size)
            if not piece and self._position < (getattr(self._file, "size", None) or 0):
                raise OSError("the connection ended before the file")
        except Exception:
            with suppress(Exception):  # the file may be in any state
                self.close()
            raise
        self._position += len(piece)
        return piece


def read_whole(url: str) -> bytes:
    """All bytes of a file. Raises InputError."""

    def read() -> bytes:
        with _open(url) as file:
            contents: bytes = file.read()
            return contents

    return keep_trying(read, url)


def exists(url: str) -> bool:
    """Whether the file exists. Raises InputError if the storage does not answer."""
    if not is_remote(url):
        return Path(url).is_file()

    def look() -> bool:
        filesystem, path = _filesystem(url)
        return bool(filesystem.isfile(path))

    return keep_trying(look, url)


def is_remote(url: str) -> bool:
    """Whether this is an address, not a path on disk."""
    return "://" in url


def keep_trying(act: Callable[[], T], url: str) -> T:
    """The result of `act`, which runs again after a passing error.

    Storage libraries raise errors of many kinds. Every error counts as passing, except those in
    LASTING. A file on disk gets one attempt. Raises InputError that names the file.
    """
    num_attempts = NUM_ATTEMPTS if is_remote(url) else 1
    for attempt in range(1, num_attempts + 1):
        try:
            return act()
        except InputError:
            raise
        except LASTING as error:
            raise InputError(f"{url}: {_reason(error)}") from None
        except Exception as error:
            if attempt == num_attempts:
                tried = f" ({attempt} attempts)" if attempt > 1 else ""
                raise InputError(f"{url}: cannot be read: {_reason(error)}{tried}") from None
        time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _open(url: str) -> BinaryIO:
    if not is_remote(url):
        return Path(url).open("rb")
    filesystem, path = _filesystem(url)
    file: BinaryIO = filesystem.open(path, "rb", block_size=BLOCK_BYTES)
    return file


def _filesystem(url: str) -> tuple[Any, str]:
    with needing("remote", told=f"{url}: reading addresses"):
        import fsspec  # type: ignore[import-untyped,unused-ignore]
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except ImportError as error:  # for example s3fs is missing; the message says what to install
        raise InputError(f"{url}: {_reason(error)}") from None
    except ValueError as error:
        raise InputError(f"{url}: unknown kind of address: {_reason(error)}") from None
    return found


def _go_to(file: Any, position: int) -> None:
    if position and file.seekable():
        file.seek(position)
        return
    while position > 0:  # some servers send only whole files
        position -= len(file.read(min(position, BLOCK_BYTES)) or b" " * position)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
