"""Finds the recordings in a directory by the names that a table uses."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ds2.audio import EXTENSIONS
from ds2.errors import InputError

ENDINGS = frozenset(extension[1:] for extension in EXTENSIONS)
"""Extensions of recordings."""


def find_recording(path: Path) -> Path | None:
    """The file itself, or the first file below the directory, whose name is a recording's."""
    if path.is_file():
        return path if path.suffix[1:].lower() in ENDINGS else None
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            if name.rpartition(".")[2].lower() in ENDINGS:
                return Path(folder, name)
    return None


class NotFound(InputError):
    """A name fits no recording."""


class Ambiguous(NotFound):
    """A name fits more than one recording."""


class Recordings:
    """All recordings below a directory."""

    def __init__(self, directory: Path) -> None:
        """Raises InputError if there is no such directory, or if it has no recordings."""
        if not directory.is_dir():
            raise InputError(
                f"{directory}: is not a directory: name the directory of the recordings"
            )
        self.directory = directory
        self.paths = sorted(
            path
            for path in directory.rglob("*")
            if path.suffix[1:].lower() in ENDINGS and path.is_file()
            if not path.name.startswith("._")  # what macOS leaves beside a file
        )
        if not self.paths:
            raise InputError(
                f"{directory}: holds no recordings: no file ends in .wav, .flac, .mp3 or another "
                "extension of audio"
            )
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            self._by_name[_key(path.name)].append(path)
            self._by_stem[_key(path.stem)].append(path)

    def kinds(self) -> str:
        """The numbers of recordings of each format, as text."""
        counts = Counter(path.suffix[1:].lower() for path in self.paths)
        return ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())

    def find(self, name: str, beside: Path) -> Path:
        """The recording with this name in a table of the directory `beside`.

        The name may be a path from there, or from the directory of recordings. It may be a path of
        another computer, and then its end counts. It may lack the extension, or have that of
        another format. Raises NotFound, or Ambiguous if it fits several equally.
        """
        name = name.strip().replace("\\", "/")
        if not name:
            raise NotFound("does not name a recording")
        path = Path(name.removeprefix("file://"))
        for place in (self.directory / path, beside / path):
            if os.path.isfile(place):  # noqa: PTH113  # False for a text too long for a name
                return place
        wanted = PurePosixPath(path.as_posix())
        found = self._by_name.get(_key(wanted.name), [])
        if not found:
            endless = wanted.suffix[1:].lower() not in ENDINGS
            stem = wanted.name if endless else wanted.stem
            found = self._by_stem.get(_key(stem), [])
        if not found:
            raise NotFound(f"there is no recording {name}")
        return _nearest(found, wanted, name)


def _key(name: str) -> str:
    """The name without differences of case and of Unicode's forms.

    macOS writes an accent in a file's name as a character of its own, and a table mostly does not.
    """
    return unicodedata.normalize("NFC", name).lower()


def _nearest(found: Sequence[Path], wanted: PurePosixPath, name: str) -> Path:
    """The recording whose folders fit the name best. Raises Ambiguous if several fit equally."""
    folders = [_key(part) for part in wanted.parent.parts]

    def likeness(path: Path) -> int:
        ours = [_key(part) for part in path.parent.parts]
        common = 0
        while common < min(len(ours), len(folders)) and ours[-1 - common] == folders[-1 - common]:
            common += 1
        return common

    best = max(map(likeness, found))
    nearest = [path for path in found if likeness(path) == best]
    if len(nearest) > 1:
        raise Ambiguous(f"{len(nearest)} recordings have the name {name}: {_listed(nearest)}")
    return nearest[0]


def _listed(paths: Iterable[Path]) -> str:
    names = [str(path) for path in paths]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def compile_pattern(pattern: str) -> "re.Pattern[str]":
    """The pattern of --speaker-from. Raises InputError."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--speaker-from {pattern}: is not a regular expression: {error}"
        ) from None


def speaker_in(path: Path, directory: Path, pattern: "re.Pattern[str]") -> str | None:
    """The pattern's group, or its whole match, in a recording's path below the directory."""
    name = path.relative_to(directory) if path.is_relative_to(directory) else path
    match = pattern.search(name.as_posix())
    if match is None:
        return None
    return (match[1] if pattern.groups else match[0]) or None
