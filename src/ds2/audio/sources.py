"""Where recordings come from: paths, bytes in memory, open files and pipes, all read alike."""

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
    """A stream that cannot go back, with the bytes already taken from it put before the rest.

    Until it is `settle`d, it keeps what is read, and can be read from its beginning again.
    """

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file
        self._kept: list[bytes] | None = []

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end."""
        if self._head:
            end = len(self._head) if size < 0 else size
            taken, self._head = self._head[:end], self._head[end:]
        else:
            taken = self._file.read(size)
        if self._kept is not None:
            self._kept.append(taken)
        return taken

    def rewind(self) -> None:
        """Go to the beginning, unless it is settled."""
        if self._kept is not None:
            self._head, self._kept = b"".join(self._kept) + self._head, []

    def settle(self) -> None:
        """Keep nothing any more."""
        self._kept = None


class Seekable:
    """A file in which one can go back, for libraries in C; seeks that cannot be do nothing.

    A broken header sends a library to places before the file's start. A file of Python's raises
    an error there, which the C code could not pass on: it would be printed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to the offset, if there is such a place; the place where the file is then."""
        with suppress(ValueError, OSError, OverflowError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        """The place where the file is."""
        return self._file.tell()


def name_of(source: Source) -> str:
    """What messages call the source."""
    if isinstance(source, str | Path):
        return str(source)
    name = getattr(source, "name", None)
    if name in ("<stdin>", 0):
        return "standard input"
    return name if isinstance(name, str) else "the audio given"


def open_source(source: Source, stack: ExitStack) -> tuple[Seekable | Pipe, bytes]:
    """The source at its beginning, and its first bytes.

    stack: closes what is opened here, and leaves open what the caller opened.
    Raises InputError if there is no such file, it may not be read, or it is empty.
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
    """Make InputError of what the system has against reading, in the middle of a file too."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{name}: cannot be read: {reason}") from None


def is_mp4(head: bytes) -> bool:
    """Whether a file is of the MP4 family, whose index may stand at its end."""
    return head[4:8] == b"ftyp"


def spool(pipe: Pipe, stack: ExitStack) -> BinaryIO:
    """All of the pipe in a temporary file, in which one can go back."""
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
