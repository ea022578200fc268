"""Bundles out of archives: ds2 unpacks them so that no file lands elsewhere, then verifies them."""

import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from ds2.errors import InputError
from ds2.files import make_neighbour
from ds2.model.bundle import Bundle, load_bundle, put_in_place, verify_lm
from ds2.model.places import FACTS

MOST_FILES = 100
MOST_BYTES = 8 * 1024**3
"""The largest size of an unpacked bundle. A small archive can hold endless zeros."""
BLOCK_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Contents: TypeAlias = Iterator[IO[bytes]]


@dataclass(frozen=True)
class Entry:
    """A file or a directory in an archive."""

    name: str
    is_directory: bool
    is_file: bool  # an entry that is neither is a link or a device
    num_bytes: int  # as the archive claims
    open: Callable[[], IO[bytes]]


def install_archive(archive: Path, directory: Path, name: str | None = None) -> Bundle:
    """Make the bundle in a tar or zip archive a bundle in `directory`, whole or not at all.

    name: the name of the bundle. None takes the name of the directory in the archive, or else the
        name of the archive.
    Raises InputError if the file is no archive, is not safe to unpack or holds no sound bundle, and
    if the name is taken.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        temporary = make_neighbour(directory / "unpacked")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{directory}: cannot be written: {reason}") from None
    try:
        inner = unpack_bundle(archive, temporary)
        target = directory / _checked_name(name or inner or _stem(archive), archive)
        if target.exists():
            raise InputError(
                f"{target}: is there already: remove it first, or choose another --name"
            )
        verify_lm(_loaded(temporary, archive))
        put_in_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return load_bundle(target)


def unpack_bundle(archive: Path, directory: Path) -> str | None:
    """Write the files of the one bundle in the archive into `directory`.

    Returns the name of the directory that holds the bundle in the archive; None without one.
    Raises InputError. Some files may then have been written to `directory`, but none elsewhere.
    """
    with _entries(archive) as entries:
        files = {_place(entry, archive): entry for entry in entries if not entry.is_directory}
        if len(files) > MOST_FILES:
            raise InputError(f"{archive}: holds {len(files)} files: it is no archive of one bundle")
        homes = [place.parent for place in files if place.name == FACTS]
        if len(homes) != 1 or len(homes[0].parts) > 1:
            raise InputError(
                f"{archive}: must hold one bundle, with {FACTS} in its one directory or in none; "
                f"it holds {len(homes)}"
            )
        home, budget = homes[0], MOST_BYTES
        for place, entry in files.items():
            if place.parent != home:
                raise InputError(f"{archive}: holds {place}, which is no part of a bundle")
            budget -= _copied(entry, directory / place.name, budget, archive)
    return home.name or None


def _place(entry: Entry, archive: Path) -> PurePosixPath:
    """The place of a file in the archive. Raises InputError if it is not safe to write there."""
    place = PurePosixPath(entry.name)
    is_outside = place.is_absolute() or ".." in place.parts or "\\" in entry.name
    if is_outside or ":" in entry.name or "\0" in entry.name or not place.name:
        raise InputError(f"{archive}: holds {entry.name!r}, which could land elsewhere: not opened")
    if not entry.is_file:
        raise InputError(f"{archive}: holds {entry.name!r}, which is no plain file: not opened")
    return place


def _copied(entry: Entry, target: Path, budget: int, archive: Path) -> int:
    """Write one file; returns its bytes. Raises InputError if they exceed the budget."""
    num_bytes = 0
    with entry.open() as source, target.open("xb") as file:
        while block := source.read(BLOCK_BYTES):
            num_bytes += len(block)
            if num_bytes > budget:
                raise InputError(f"{archive}: unpacks to more than {MOST_BYTES / 1e9:.0f} GB")
            file.write(block)
    return num_bytes


@contextmanager
def _entries(archive: Path) -> Iterator[list[Entry]]:
    """The entries of a tar or zip archive. Raises InputError if it is none, or damaged."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield [_of_zip(file, info) for info in file.infolist()]
        else:
            with tarfile.open(archive) as tar:
                yield [_of_tar(tar, member) for member in _listed(tar, archive)]
    except FileNotFoundError:
        raise InputError(f"{archive}: no such file") from None
    except IsADirectoryError:
        raise InputError(
            f"{archive}: is a directory: name an archive; a bundle's directory can be used as it is"
        ) from None
    except FileExistsError as error:
        raise InputError(f"{archive}: holds {Path(error.filename).name} twice") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{archive}: is no tar or zip archive, or damaged ({reason.lower()}): fetch it again"
        ) from None


def _listed(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """The members of the archive. It reads at most as many bytes as a bundle may have."""
    num_bytes = 0
    for member in tar:
        num_bytes += member.size
        if num_bytes > MOST_BYTES:
            raise InputError(f"{archive}: unpacks to more than {MOST_BYTES / 1e9:.0f} GB")
        yield member


def _of_zip(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    kind = (
        info.external_attr >> 16 & 0o170000
    )  # the kind of a Unix file; 0 if the archive does not say
    is_file = not info.is_dir() and kind in (0, 0o100000)
    return Entry(info.filename, info.is_dir(), is_file, info.file_size, lambda: file.open(info))


def _of_tar(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    def opened() -> IO[bytes]:
        source = tar.extractfile(member)
        assert source is not None  # it is a plain file
        return source

    is_file = member.isreg() and not member.issparse()
    return Entry(member.name, member.isdir(), is_file, member.size, opened)


def _stem(archive: Path) -> str:
    """The archive's name without its ending: en-big of en-big.tar.gz."""
    return re.sub(r"(\.(tar|tgz|tbz2?|txz|gz|bz2|xz|zip))+$", "", archive.name)


def _checked_name(name: str, archive: Path) -> str:
    if not NAME.fullmatch(name):
        raise InputError(
            f"{archive}: {name!r} cannot be a model's name: choose one of letters, digits, ., _ "
            "and - with --name"
        )
    return name


def _loaded(directory: Path, archive: Path) -> Bundle:
    """The verified bundle. Raises InputError that names the archive, not the directory."""
    try:
        return load_bundle(directory)
    except InputError as error:
        told = str(error).replace(f"{directory}/", "").replace(f"{directory}: ", "")
        raise InputError(f"{archive}: {told}") from None
