"""Finds the recordings in a directory by their extensions, or else by their content."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ds2.audio.reading import probe_audio
from ds2.errors import InputError
from ds2.files import missing_file

EXTENSIONS = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".m4b", ".m4r", ".mp4", ".m4v"),
    *(".aac", ".webm", ".weba", ".mka", ".mkv", ".mov", ".wma", ".wmv", ".asf", ".amr", ".3gp"),
    *(".3g2", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64", ".sph", ".flv", ".avi"),
    *(".mpg", ".mpeg", ".m2ts", ".mts", ".ac3", ".eac3", ".ape", ".tta", ".wv", ".mp2", ".ogv"),
)
"""Extensions of recordings. A file that the user names may have any extension."""
OTHERS = frozenset(
    (
        *(".txt", ".md", ".json", ".jsonl", ".csv", ".tsv", ".srt", ".vtt", ".ctm", ".textgrid"),
        *(".html", ".xml", ".toml", ".yaml", ".yml", ".log", ".py", ".pdf", ".doc", ".docx"),
        *(".jpg", ".jpeg", ".png", ".gif", ".svg", ".webp", ".heic", ".zip", ".gz", ".arpa"),
    )
)
"""Extensions of other files. The search never opens these."""

STARTS = (
    *(b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"NIST_1A", b"fLaC", b"OggS"),
    *(b"ID3", b"\x1aE\xdf\xa3", b"FLV", b"0&\xb2u\x8ef\xcf\x11", b"#!AMR", b"\0\0\1\xba"),
    *(b"MAC ", b"wvpk", b"TTA1", b"\x0bw"),
)
"""Possible first bytes of a recording. The search compares them before it asks a library."""
HEAD_BYTES = 512
PACKET_BYTES = 188  # in an MPEG transport stream; each packet begins with a G


@dataclass
class Found:
    """The content of a directory."""

    directory: Path
    recordings: list[Path] = field(default_factory=list)
    num_others: int = 0  # visible files that are not recordings
    num_repeated: int = 0  # links to directories that the search knows already
    problems: list[str] = field(default_factory=list)  # directories that ds2 could not search

    @property
    def passed_over(self) -> str:
        """One line about the files that the search skipped; empty if there are none."""
        told = []
        if self.num_others:
            files = "file that holds" if self.num_others == 1 else "files that hold"
            told.append(f"{self.num_others} {files} no sound")
        if self.num_repeated:
            links = "link" if self.num_repeated == 1 else "links"
            told.append(f"{self.num_repeated} {links} to directories that are done already")
        return f"{self.directory}: skipped {', '.join(told)}" if told else ""


def find_audio(path: Path) -> list[Path]:
    """The path itself if it is a file; for a directory, all recordings in it, sorted.

    Raises InputError if there are none. `search` also reports the files that it skipped.
    """
    return search(path).recordings


def search(path: Path) -> Found:
    """Find the recordings in a directory. A file is its own result.

    If an extension is not in `EXTENSIONS` or `OTHERS`, the content of the file decides. The search
    follows links to directories, but visits no directory twice. It skips hidden files and
    directories. Raises InputError if there are no recordings.
    """
    found = Found(path)
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            found.recordings.append(path)
            return found
    except FileNotFoundError:
        raise missing_file(path, "no such file or directory") from None
    except OSError as error:
        raise InputError(f"{path}: {str(error.strerror).lower()}") from None
    for file in _files_in(path, found):
        if is_recording_file(file):
            found.recordings.append(file)
        else:
            found.num_others += 1
    found.recordings.sort()
    if not found.recordings:
        raise InputError(
            next(iter(found.problems), "")
            or f"{path}: has no recordings (.wav, .flac, .mp3, ...): name another directory"
        )
    return found


def is_recording_file(path: Path) -> bool:
    """Whether a file is a recording, by its extension, or else by its content."""
    ending = path.suffix.lower()
    try:
        if not path.is_file():
            return False
        if ending in EXTENSIONS or ending in OTHERS:
            return ending in EXTENSIONS
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    if not _may_hold_sound(head):
        return False
    try:
        probe_audio(path)
    except InputError:
        return False
    return True


def _may_hold_sound(head: bytes) -> bool:
    if head.startswith(STARTS) or head[4:8] == b"ftyp":
        return True
    if head[:1] == b"G" and head[PACKET_BYTES : PACKET_BYTES + 1] == b"G":
        return True
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    layer = head[1] >> 1 & 3  # of MPEG audio: 0 is ADTS; 3 is layer I, or a mark of UTF-16
    return layer in (1, 2) or (layer == 0 and head[1] & 0xF0 == 0xF0)


def _files_in(directory: Path, found: Found) -> Iterator[Path]:
    """All visible files. A directory comes under its own name rather than under a link's."""
    seen: set[tuple[int, int]] = set()
    links = [directory]
    while links:
        link = links.pop(0)
        if not _is_new(link, seen):
            found.num_repeated += 1
            continue
        waiting = [link]
        while waiting:
            here = waiting.pop()
            try:
                entries = sorted(os.scandir(here), key=lambda entry: entry.name)
            except OSError as error:
                reason = str(error.strerror).lower()
                found.problems.append(f"{here}: cannot be searched: {reason}")
                continue
            for entry in entries:
                path = here / entry.name
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir():
                    yield path
                elif entry.is_symlink():
                    links.append(path)
                elif _is_new(path, seen):
                    waiting.append(path)


def _is_new(directory: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether a directory is new. This adds it to the known ones."""
    status = directory.stat()
    key = (status.st_dev, status.st_ino)
    is_new = key not in seen
    seen.add(key)
    return is_new
