"""Opens recordings from all sources alike: paths, bytes in memory, open files and pipes."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from ds2.errors import InputError
from ds2.files import missing_file

Source: TypeAlias = str | Path | bytes | BinaryIO
"""A path, a file's whole contents, or an open binary file, which may be a pipe."""

HEAD_BYTES = 4096  # enough to tell one format from another


class Pipe:
    """A stream that cannot go back, with the bytes that were already read put back in front.

    It keeps all bytes until you call `settle`. Until then you can read it from its beginning again.
    """

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file
        self._kept: list[bytes] | None = []

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; no bytes at the end."""
        if self._head:
            end = len(self._head) if size < 0 else size
            taken, self._head = self._head[:end], self._head[end:]
        else:
            taken = self._file.read(size)
        if self._kept is not None:
            self._kept.append(taken)
        return taken

    def rewind(self) -> None:
        """Go back to the beginning. This does nothing after `settle`."""
        if self._kept is not None:
            self._head, self._kept = b"".join(self._kept) + self._head, []

    def settle(self) -> None:
        """Stop keeping bytes."""
        self._kept = None


class Seekable:
    """A file that can go back, for libraries in C. An impossible seek does nothing.

    A broken header sends a library to places before the file's start. Python's own files raise an
    error there. The C code could not pass this error on, and Python would print it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; no bytes at the end."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to the offset if it exists, and return the new position."""
        with suppress(ValueError, OSError, OverflowError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        """The position in the file."""
        return self._file.tell()


def name_of(source: Source) -> str:
    """The name of the source, for messages."""
    if isinstance(source, str | Path):
        return str(source)
    name = getattr(source, "name", None)
    if name in ("<stdin>", 0):
        return "standard input"
    return name if isinstance(name, str) else "the audio given"


def open_source(source: Source, stack: ExitStack) -> tuple[Seekable | Pipe, bytes]:
    """The source at its beginning, and its first bytes.

    stack: closes the files that this function opens; the caller's own files stay open.
    Raises InputError if there is no such file, if ds2 may not read it, or if it is empty.
    """
    file: Any = source
    if isinstance(source, str | Path):
        file = stack.enter_context(_open(Path(source)))
    elif isinstance(source, bytes):
        file = io.BytesIO(source)
    head: bytes = file.read(HEAD_BYTES)
    if not head:
        raise InputError(f"{name_of(source)}: is empty: there is no recording in it")
    if file.seekable():
        file.seek(0)
        return Seekable(file), head
    pipe = Pipe(head, file)
    return (Seekable(spool(pipe, stack)) if is_mp4(head) else pipe), head


@contextmanager
def saying_what_fails(name: str) -> Iterator[None]:
    """Turn the system's errors while reading, also in the middle of a file, into InputError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{name}: cannot be read: {reason}") from None


def is_mp4(head: bytes) -> bool:
    """Whether a file is of the MP4 family. Its index may be at the end of the file."""
    return head[4:8] == b"ftyp"


def spool(pipe: Pipe, stack: ExitStack) -> BinaryIO:
    """Copy the whole pipe into a temporary file, which can go back."""
    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(pipe, file)
    file.seek(0)
    return file


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise missing_file(path) from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory, not a recording") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be opened: {reason.lower()}") from None
