"""Downloads archives. This continues interrupted transfers, and verifies checksums."""

import hashlib
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from ds2.errors import InputError

Report: TypeAlias = Callable[[str, float | None], None]
"""A function that takes the current step and its progress, from 0 to 1, or None if unknown."""

OPENSLR = "https://www.openslr.org/resources/"
BLOCK = 1 << 20
TIMEOUT_S = 60.0
NUM_TRIES = 5  # tries in a row without a byte
PASSING = (urllib.error.URLError, http.client.HTTPException, ConnectionError, ssl.SSLError)
"""Errors of the network that may be gone at the next try."""


@dataclass(frozen=True)
class Archive:
    """A file of a corpus on the web."""

    url: str
    sha256: str | None = None
    md5: str | None = None
    splits: tuple[str, ...] = ()  # splits in the archive; empty: all

    @property
    def name(self) -> str:
        """The file name of the archive."""
        return self.url.rsplit("/", 1)[1]

    def at(self, mirror: str | None) -> str:
        """The URL of the archive, on the mirror if there is one.

        mirror: replaces "https://www.openslr.org/resources" in URLs of OpenSLR; for other sites,
            the URL of the directory with the archives.
        """
        if mirror is None:
            return self.url
        path = self.url.removeprefix(OPENSLR) if self.url.startswith(OPENSLR) else self.name
        return f"{mirror.rstrip('/')}/{path}"


def fetch_archive(
    archive: Archive,
    path: Path,
    report: Report,
    *,
    mirror: str | None = None,
    wait_s: float = 2.0,
    advice: str = "name another --mirror",
) -> None:
    """Download the archive to `path`, or verify it if it exists.

    A partial download stays in "<path>.part". This call or a later one continues it.
    wait_s: seconds before the next try; each try doubles them.
    advice: what the user can do if the server lacks the right file.
    Raises InputError.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _transfer(archive.at(mirror), part, report, wait_s, advice)
        if not _is_right(archive, part, report):
            part.unlink()
            raise InputError(
                f"{archive.at(mirror)}: the download does not have the checksum of {archive.name}, "
                f"so ds2 removed it: run again, or {advice}"
            )
        part.replace(path)
    elif not _is_right(archive, path, report):
        raise InputError(
            f"{path}: does not have the checksum of the official archive: it is damaged or cut "
            "off: remove it and run again"
        )


def _transfer(url: str, part: Path, report: Report, wait_s: float, advice: str) -> None:
    """Download until `part` is complete. Raises InputError if no more bytes come."""
    failures = 0
    while True:
        before = _size(part)
        try:
            if _receive(url, part, report):
                return
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise InputError(
                    f"{url}: the server answers {error.code} ({error.reason}): {advice}"
                ) from None
            reason = f"the server answers {error.code}"
        except PASSING as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        except TimeoutError:
            reason = "the server does not answer"
        failures = 0 if _size(part) > before else failures + 1
        if failures == NUM_TRIES:
            raise InputError(
                f"{url}: cannot be downloaded: {reason}: run again to continue after the "
                f"{_size(part):,} bytes that are here"
            )
        time.sleep(wait_s * 2**failures / 2)


def _receive(url: str, part: Path, report: Report) -> bool:
    """Append the bytes of one transfer, and return whether the file is complete."""
    begin = _size(part)
    headers = {"User-Agent": "ds2", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not begin:  # 416: there are no more bytes
            raise
        if _total(error.headers.get("Content-Range")) == begin:
            return True
        part.unlink()
        return False
    except ValueError as error:
        raise InputError(f"{url}: {error}: give a URL such as https://...") from None
    with response:
        if begin and not _goes_on(response, begin):
            begin = 0  # a server without ranges sends the whole file again
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length else None
        _check_room(part, (total or 0) - begin)
        with part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            _copy(response, file, total, report)
        return total is None or _size(part) == total


def _copy(
    response: http.client.HTTPResponse, file: IO[bytes], total: int | None, report: Report
) -> None:
    name = Path(file.name).name.removesuffix(".part")
    while block := response.read(BLOCK):
        file.write(block)
        report(f"downloading {name}", file.tell() / total if total else None)


def _goes_on(response: http.client.HTTPResponse, begin: int) -> bool:
    """Whether the answer begins at the requested byte."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return response.status == 206 and match is not None and int(match[1]) == begin


def _total(content_range: str | None) -> int | None:
    """The size of the whole file, from a header such as "bytes */1234"."""
    match = re.search(r"/(\d+)$", content_range or "")
    return int(match[1]) if match else None


def _check_room(part: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if num_bytes > free:
        raise InputError(
            f"{part.parent}: has room for {free / 1e9:.1f} GB, but needs {num_bytes / 1e9:.1f} GB "
            "more: make room or name another directory"
        )


def _is_right(archive: Archive, path: Path, report: Report) -> bool:
    """Whether the file has the archive's checksum. True if there is no checksum."""
    known = archive.sha256 or archive.md5
    if known is None:
        return True
    digest = hashlib.sha256() if archive.sha256 else hashlib.md5(usedforsecurity=False)
    size = max(1, _size(path))
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            report(f"verifying {archive.name}", file.tell() / size)
    return digest.hexdigest() == known


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
