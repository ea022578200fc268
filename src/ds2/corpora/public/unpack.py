"""Unpacks archives into their own directories, completely or not at all."""

import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

from ds2.corpora.public.download import Report
from ds2.errors import InputError


def is_unpacked(archive: Path) -> bool:
    """Whether `unpack` has unpacked this archive."""
    return _mark(archive).exists()


def unpack(archive: Path, report: Report, *, inner: str | None = None) -> None:
    """Unpack a tar or zip archive into its directory.

    Everything goes into a temporary directory first, and moves to its place at the end. So an
    interrupted run leaves nothing that looks like a corpus.

    inner: a pattern for archives inside. This unpacks them in their place and then removes them.
    Raises InputError for a damaged or incomplete archive.
    """
    staging = archive.with_name(f".{archive.name}.unpacking")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        _extract(archive, staging, report)
        for path in sorted(staging.glob(inner)) if inner else ():
            _extract(path, path.parent, report)
            path.unlink()
        _merge(staging, archive.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _mark(archive).touch()


def _mark(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked")


def _extract(archive: Path, directory: Path, report: Report) -> None:
    size = max(1, archive.stat().st_size)
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as file:
                for index, name in enumerate(file.namelist()):
                    file.extract(name, directory)
                    report(f"unpacking {archive.name}", index / len(file.namelist()))
            return
        with archive.open("rb") as raw, tarfile.open(fileobj=raw) as tar:
            for member in tar:
                tar.extract(member, directory, filter="data")
                report(f"unpacking {archive.name}", raw.tell() / size)
    except tarfile.FilterError as error:
        raise InputError(f"{archive}: would write outside its directory: {error}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        if error.errno is None:  # bz2 raises this for wrong bytes
            raise _damaged(archive, error) from None
        raise


def _damaged(archive: Path, error: Exception) -> InputError:
    reason = str(error).lower() or type(error).__name__
    return InputError(
        f"{archive}: is damaged or cut off ({reason}): remove it and download it again"
    )


def _merge(source: Path, target: Path) -> None:
    """Move everything below `source` to its place below `target`. This replaces files there."""
    for path in source.iterdir():
        place = target / path.name
        if path.is_dir() and not path.is_symlink() and place.is_dir():
            _merge(path, place)
        else:
            path.replace(place)
