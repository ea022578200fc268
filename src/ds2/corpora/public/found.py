"""What a copy of a public corpus holds of one split, and what it should hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ds2.corpora.public.download import Report
from ds2.manifest.utterance import Utterance

HOURS_TOLERANCE = 0.03
"""Of the official figure, which is rounded and at times counts silence otherwise."""


@dataclass(frozen=True)
class Split:
    """A part of a corpus that its makers cut off, with what is known of it."""

    name: str
    place: str  # a path below the corpus's root without which it is not there
    num_utterances: int | None = None
    hours: float | None = None
    num_recordings: int | None = None  # where these hold many utterances each
    is_usual: bool = True  # False: read only if it is asked for


@dataclass(frozen=True)
class Found:
    """The utterances of a split, and the files that its lists name and that are not there."""

    utterances: Sequence[Utterance]
    missing: Sequence[str] = field(default_factory=tuple)

    @property
    def hours(self) -> float:
        """Of all utterances."""
        return sum(utterance.duration_s or 0.0 for utterance in self.utterances) / 3600

    @property
    def num_speakers(self) -> int:
        """Speakers that are named."""
        return len({u.speaker for u in self.utterances if u.speaker is not None})

    @property
    def num_recordings(self) -> int:
        """Files."""
        return len({utterance.audio_path for utterance in self.utterances})


@dataclass(frozen=True)
class Asked:
    """What is to be read, and how."""

    root: Path  # absolute
    splits: Sequence[Split]  # empty: whatever is there
    language: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of lhotse's preparer
    num_threads: int = 1
    report: Report = lambda _stage, _fraction: None


Reader: TypeAlias = Callable[[Asked], Iterator[tuple[str, Found]]]
"""Gives each split's name and what was found, as soon as it is read. Raises InputError."""


def what_lacks(split: Split, found: Found) -> list[str]:
    """A line for each way in which the copy falls short of the official split."""
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
            f"{split.name}: {len(found.missing):,} files are listed but not there: "
            f"the copy is incomplete{first}"
        )
    if not lines and split.hours and found.hours < split.hours * (1 - HOURS_TOLERANCE):
        lines.append(
            f"{split.name}: {split.hours:g} hours expected, {found.hours:.1f} found: "
            "recordings are cut short"
        )
    return lines


def what_is_more(split: Split, found: Found) -> list[str]:
    """A line if there is more than the official split has, which need not be wrong."""
    expected = split.num_utterances
    if expected is None or len(found.utterances) <= expected:
        return []
    there = len(found.utterances)
    return [f"{split.name}: {expected:,} utterances expected, {there:,} found: another release?"]
