"""Evaluate a recogniser on a test set: error rates with intervals, and the places of errors."""

import itertools
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ds2.evaluation.metrics import (
    Alignment,
    EditCounts,
    align,
    bootstrap_interval,
    character_errors,
    most_confused,
    units,
)
from ds2.manifest import Utterance

LENGTHS_S = (2.0, 4.0, 6.0, 10.0, 15.0)
"""Bounds between the groups of utterances by duration."""


@dataclass(frozen=True)
class Scored:
    """An utterance with its reference and its hypothesis.

    words: the alignment in words; in Mandarin, in characters.
    """

    utterance: Utterance
    duration_s: float
    reference: str
    hypothesis: str
    words: Alignment
    characters: EditCounts


@dataclass(frozen=True)
class Rate:
    """An error rate with its 95% interval by bootstrap over utterances; all are fractions."""

    counts: EditCounts
    low: float
    high: float

    @property
    def rate(self) -> float:
        return self.counts.rate

    def __str__(self) -> str:
        return f"{100 * self.rate:.2f}% [{100 * self.low:.2f}, {100 * self.high:.2f}]"


def score(
    utterance: Utterance, duration_s: float, reference: str, hypothesis: str, language: str
) -> Scored:
    """Compare a hypothesis with its reference, both in the alphabet's style."""
    return Scored(
        utterance,
        duration_s,
        reference,
        hypothesis,
        align(units(reference, language), units(hypothesis, language)),
        character_errors(reference, hypothesis, language),
    )


@dataclass(frozen=True)
class Evaluation:
    """A test set, with the comparison of each utterance."""

    scored: tuple[Scored, ...]

    @cached_property
    def words(self) -> Rate:
        """The word error rate; in Mandarin, the same as the character error rate."""
        return _rate([item.words.counts for item in self.scored])

    @cached_property
    def characters(self) -> Rate:
        """The character error rate: in English with the spaces, in Mandarin without."""
        return _rate([item.characters for item in self.scored])

    @property
    def duration_s(self) -> float:
        """Seconds of audio recognised."""
        return sum(item.duration_s for item in self.scored)

    def by_speaker(self) -> dict[str, "Evaluation"]:
        """The set, divided by speaker; speakers with the most words come first."""
        return self._parted(lambda item: item.utterance.speaker or "unknown")

    def by_field(self, name: str) -> dict[str, "Evaluation"]:
        """The set, divided by another field of the manifest, such as "source"."""
        return self._parted(lambda item: str(item.utterance.extra.get(name, "unknown")))

    def by_length(self) -> dict[str, "Evaluation"]:
        """The set, divided by duration; the shortest come first."""
        bounds = (0.0, *LENGTHS_S, float("inf"))
        names = [f"{low:g} to {high:g} s" for low, high in itertools.pairwise(bounds)]
        names[0], names[-1] = f"under {LENGTHS_S[0]:g} s", f"over {LENGTHS_S[-1]:g} s"
        parts = self._parted(
            lambda item: names[sum(item.duration_s >= bound for bound in LENGTHS_S)]
        )
        return {name: parts[name] for name in names if name in parts}

    def confused(self, num_pairs: int = 20) -> list[tuple[str, str, int]]:
        """The most frequent substitutions: reference, hypothesis, and their number."""
        return most_confused((item.words for item in self.scored), num_pairs)

    def worst(self, num_utterances: int = 10) -> list[Scored]:
        """The utterances with the most word errors for their length."""
        ordered = sorted(
            self.scored, key=lambda item: (-item.words.counts.rate, -item.words.counts.num_errors)
        )
        return [item for item in ordered if item.words.counts.num_errors][:num_utterances]

    def _parted(self, name_of: Callable[[Scored], str]) -> dict[str, "Evaluation"]:
        parts: dict[str, list[Scored]] = {}
        for item in self.scored:
            parts.setdefault(name_of(item), []).append(item)
        evaluations = {name: Evaluation(tuple(items)) for name, items in parts.items()}
        return dict(
            sorted(
                evaluations.items(),
                key=lambda part: -part[1].words.counts.num_reference,
            )
        )


def _rate(counts: Sequence[EditCounts]) -> Rate:
    low, high = bootstrap_interval(counts)
    return Rate(total(counts), low, high)


def total(counts: Iterable[EditCounts]) -> EditCounts:
    """The sum of all counts, for one rate over all utterances."""
    return sum(counts, EditCounts())


def aligned_lines(alignment: Alignment) -> tuple[str, str]:
    """The lines of reference and hypothesis, aligned; capitals and stars show the errors."""
    columns = []
    for token in alignment.tokens:
        reference, hypothesis = token.reference or "", token.hypothesis or ""
        if token.edit != "correct":
            reference, hypothesis = reference.upper(), hypothesis.upper()
        width = max(_width(reference), _width(hypothesis))
        columns.append((_filled(reference, width), _filled(hypothesis, width)))
    said = " ".join(reference for reference, _ in columns)
    heard = " ".join(hypothesis for _, hypothesis in columns)
    return f"said   {said}".rstrip(), f"heard  {heard}".rstrip()


def _width(text: str) -> int:
    """The columns of a text on a terminal; Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _filled(text: str, width: int) -> str:
    return text + (" " if text else "*") * (width - _width(text))
