"""The recordings in a directory, found again by whatever a table calls them."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ds2.audio import EXTENSIONS
from ds2.errors import InputError

ENDINGS = frozenset(extension[1:] for extension in EXTENSIONS)
"""How the names of recordings end."""


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
    """No recording, or more than one, goes by a name."""


class Recordings:
    """All recordings below a directory."""

    def __init__(self, directory: Path) -> None:
        """Raises InputError if the directory is none, or holds no recordings."""
        if not directory.is_dir():
            raise InputError(f"{directory}: is no directory of recordings")
        self.directory = directory
        self.paths = sorted(
            path
            for path in directory.rglob("*")
            if path.suffix[1:].lower() in ENDINGS and path.is_file()
            if not path.name.startswith("._")  # what macOS leaves beside a file
        )
        if not self.paths:
            raise InputError(
                f"{directory}: holds no recordings: none of its files ends in .wav, .flac, .mp3 "
                "or the like"
            )
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            self._by_name[path.name.lower()].append(path)
            self._by_stem[path.stem.lower()].append(path)

    def kinds(self) -> str:
        """How many there are of each kind, for people."""
        counts = Counter(path.suffix[1:].lower() for path in self.paths)
        return ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())

    def find(self, name: str, beside: Path) -> Path:
        """The recording that a table in the directory `beside` calls so.

        A name may be a path from there or from the directory of recordings, or one of another
        computer, whose end counts; and it may lack the ending, or have that of another format.
        Raises NotFound.
        """
        name = name.strip().replace("\\", "/")
        if not name:
            raise NotFound("names no recording")
        path = Path(name.removeprefix("file://"))
        for place in (self.directory / path, beside / path):
            if place.is_file():
                return place
        wanted = PurePosixPath(path.as_posix())
        found = self._by_name.get(wanted.name.lower(), [])
        if not found:
            endless = wanted.suffix[1:].lower() not in ENDINGS
            stem = wanted.name if endless else wanted.stem
            found = self._by_stem.get(stem.lower(), [])
        if not found:
            raise NotFound(f"there is no recording {name}")
        return _nearest(found, wanted, name)


def _nearest(found: Sequence[Path], wanted: PurePosixPath, name: str) -> Path:
    """The one whose folders are most like those of the name. Raises NotFound if several are."""
    folders = [part.lower() for part in wanted.parent.parts]

    def likeness(path: Path) -> int:
        ours = [part.lower() for part in path.parent.parts]
        common = 0
        while common < min(len(ours), len(folders)) and ours[-1 - common] == folders[-1 - common]:
            common += 1
        return common

    best = max(map(likeness, found))
    nearest = [path for path in found if likeness(path) == best]
    if len(nearest) > 1:
        raise NotFound(f"{len(nearest)} recordings are called {name}: {_listed(nearest)}")
    return nearest[0]


def _listed(paths: Iterable[Path]) -> str:
    names = [str(path) for path in paths]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def compile_pattern(pattern: str) -> "re.Pattern[str]":
    """The pattern of --speaker-from. Raises InputError."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InputError(f"--speaker-from {pattern}: is no regular expression: {error}") from None


def speaker_in(path: Path, directory: Path, pattern: "re.Pattern[str]") -> str | None:
    """What the pattern finds in a recording's path below the directory: its group, or all."""
    name = path.relative_to(directory) if path.is_relative_to(directory) else path
    match = pattern.search(name.as_posix())
    if match is None:
        return None
    return (match[1] if pattern.groups else match[0]) or None
