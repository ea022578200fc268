"""Reading and writing of files. A reader sees the old file or the new one, never half of it."""

import codecs
import gzip
import io
import os
import re
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from ds2.errors import InputError


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`. It gets the name on success, and goes on an error.

    mode: "w" (UTF-8 text, with line ends as you write them) or "wb". Python turns bytes of file
    names that are not text into half characters. UTF-8 has none, so they become JSON's escapes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding, newline, errors = None, None, None
    if "b" not in mode:
        encoding, newline, errors = "utf-8", "", "backslashreplace"
    descriptor, temporary = _open_neighbour(path)
    try:
        with os.fdopen(descriptor, mode, encoding=encoding, newline=newline, errors=errors) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _open_neighbour(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, open for writing, and its name.

    It has the rights of any new file of this process. This does not ask for the process's mask,
    because asking changes the mask for a moment. Other threads could then make files that everybody
    may write. The name does not contain that of `path`, which may have the greatest length already.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    name = _free_name(path)
    return os.open(name, flags, 0o666), name


def make_neighbour(path: Path) -> Path:
    """A new directory beside `path`, with the usual rights. The caller renames it to `path`."""
    directory = _free_name(path)
    directory.mkdir()
    return directory


def _free_name(path: Path) -> Path:
    return path.parent / f".{secrets.token_hex(8)}.tmp"


def check_output(path: Path) -> None:
    """Raise InputError, before any work, if nobody can write a file there."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path}: cannot be written: name a file in a directory that you may write to"
        )


def sync_directory(path: Path) -> None:
    """Make renames inside the directory survive a power cut, where the system allows it."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open directories
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def missing_file(path: str | os.PathLike[str], told: str = "no such file") -> InputError:
    """The error for a missing file, or for a URL in the place of a file."""
    address = re.search(r"\b(https?|ftp|s3|gs):/+(.+)", os.fspath(path))
    if address:
        url = f"{address[1]}://{address[2]}"
        return InputError(f"{url}: is a URL, not a file: download it first: curl -LO {url}")
    return InputError(f"{path}: {told}")


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if its name ends in .gz. Raises InputError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except FileNotFoundError:
        raise missing_file(path) from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(
            f"{path}: is not a complete gzip file: copy or compress it again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {str(error.strerror).lower()}") from None


MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks of encodings other than UTF-8. A longer mark comes before its beginning."""
HEAD_BYTES = 1024
GZIP = {b"\x1f\x8b": "compressed by gzip: give it a name that ends in .gz"}
NO_OTHERS: Mapping[bytes, str] = {}


@contextmanager
def open_text(path: Path, others: Mapping[bytes, str] = NO_OTHERS) -> Iterator[BinaryIO]:
    """The text of a file as UTF-8 bytes without a mark, unpacked if its name ends in .gz.

    A byte order mark shows UTF-8, UTF-16 or UTF-32. Editors and spreadsheets on Windows write
    such marks. Text without a mark passes unchanged.

    others: the first bytes of other kinds of files, with a description and advice for messages.

    Raises InputError, also for the other kinds of files, and for zero bytes without a mark, as in
    UTF-16.
    """
    with open_unpacked(path) as file, as_utf8(file, path, others) as text:
        yield text


@contextmanager
def as_utf8(
    file: BinaryIO, path: Path, others: Mapping[bytes, str] = NO_OTHERS
) -> Iterator[BinaryIO]:
    """The same as `open_text` for an open file. path: its name, for messages.

    Raises InputError.
    """
    text = io.BufferedReader(cast(io.RawIOBase, file))
    try:
        head = text.peek(HEAD_BYTES)[:HEAD_BYTES]
        for magic, kind in {**others, **GZIP}.items():
            if head.startswith(magic):
                raise InputError(f"{path}: is {kind}")
        if head.startswith(codecs.BOM_UTF8):
            text.read(len(codecs.BOM_UTF8))
        encoding = next((name for mark, name in MARKS if head.startswith(mark)), None)
        if encoding is not None:
            yield io.BufferedReader(_AsUtf8(text, encoding, path))
        elif b"\0" in head:
            raise InputError(
                f"{path}: holds zero bytes, as UTF-16 without its mark does: save it as UTF-8"
            )
        else:
            yield text
    finally:
        text.detach()


def read_text(path: Path) -> str:
    """The whole text of a file, through `open_text`. Raises InputError, also if it is not UTF-8."""
    with open_text(path) as file:
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8: save it as UTF-8") from None


class _AsUtf8(io.RawIOBase):
    """Text in another encoding, as UTF-8 bytes."""

    def __init__(self, file: BinaryIO, encoding: str, path: Path) -> None:
        self._text = codecs.getreader(encoding)(file)
        self._held = b""
        self._told = f"{path}: begins as {encoding.upper()}, but holds other bytes"

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as the text reaches."""
        if not self._held:
            try:
                self._held = self._text.read(HEAD_BYTES, HEAD_BYTES).encode()
            except UnicodeDecodeError:
                raise InputError(f"{self._told}: save it as UTF-8") from None
        piece, self._held = self._held[: len(buffer)], self._held[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
