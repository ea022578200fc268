"""Compares a split in a copy of a public corpus with the official split."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ds2.corpora.public.download import Report
from ds2.manifest.utterance import Utterance

HOURS_TOLERANCE = 0.03
"""Share of the official figure. That figure is rounded, and may count silence in another way."""


@dataclass(frozen=True)
class Split:
    """An official part of a corpus, with its figures."""

    name: str
    place: str  # path below the corpus's root; without it the split is missing
    num_utterances: int | None = None
    hours: float | None = None
    num_recordings: int | None = None  # if each holds many utterances
    is_usual: bool = True  # False: read only on request


@dataclass(frozen=True)
class Found:
    """The utterances of a split, and the missing files that its lists name."""

    utterances: Sequence[Utterance]
    missing: Sequence[str] = field(default_factory=tuple)

    @property
    def hours(self) -> float:
        """Hours of all utterances together."""
        return sum(utterance.duration_s or 0.0 for utterance in self.utterances) / 3600

    @property
    def num_speakers(self) -> int:
        """The number of different speakers. Utterances without a speaker do not count."""
        return len({u.speaker for u in self.utterances if u.speaker is not None})

    @property
    def num_recordings(self) -> int:
        """The number of files."""
        return len({utterance.audio_path for utterance in self.utterances})


@dataclass(frozen=True)
class Asked:
    """The splits to read, and the settings for reading."""

    root: Path  # absolute
    splits: Sequence[Split]  # empty: all that exist
    language: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of lhotse's preparer
    num_threads: int = 1
    report: Report = lambda _stage, _fraction: None


Reader: TypeAlias = Callable[[Asked], Iterator[tuple[str, Found]]]
"""A function that gives the name and the content of each split, one by one. Raises InputError."""


def what_lacks(split: Split, found: Found) -> list[str]:
    """A line for each figure that is too low in the copy."""
    lines = []
    first = f" (first missing: {found.missing[0]})" if found.missing else ""
    counts = (
        ("utterances", split.num_utterances, len(found.utterances)),
        ("recordings", split.num_recordings, found.num_recordings),
    )
    for what, expected, there in counts:
        if expected is not None and there < expected:
            lines.append(
                f"{split.name}: {expected:,} {what} expected, {there:,} found: "
                f"the copy is incomplete{first}"
            )
    if not lines and found.missing:
        lines.append(
            f"{split.name}: {len(found.missing):,} files of its lists are missing: "
            f"the copy is incomplete{first}"
        )
    if not lines and split.hours and found.hours < split.hours * (1 - HOURS_TOLERANCE):
        lines.append(
            f"{split.name}: {split.hours:g} hours expected, {found.hours:.1f} found: "
            "recordings are cut short: download them again"
        )
    return lines


def what_is_more(split: Split, found: Found) -> list[str]:
    """A line if the copy has more than the official split. This may be right."""
    expected = split.num_utterances
    if expected is None or len(found.utterances) <= expected:
        return []
    there = len(found.utterances)
    return [f"{split.name}: {expected:,} utterances expected, {there:,} found: another release?"]
