"""Word and character error rates, and the alignments that they count."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from ds2.text.spacing import is_spaced

Edit: TypeAlias = Literal["correct", "substitution", "deletion", "insertion"]

_EDITS: Mapping[str, Edit] = MappingProxyType(
    {
        "equal": "correct",
        "replace": "substitution",
        "delete": "deletion",
        "insert": "insertion",
    }
)
"""Our names for rapidfuzz's edits."""


@dataclass(frozen=True, slots=True)
class EditCounts:
    """The differences between a hypothesis and its reference, in words or characters."""

    num_correct: int = 0
    num_substitutions: int = 0
    num_deletions: int = 0
    num_insertions: int = 0

    def __add__(self, other: "EditCounts") -> "EditCounts":
        return EditCounts(
            self.num_correct + other.num_correct,
            self.num_substitutions + other.num_substitutions,
            self.num_deletions + other.num_deletions,
            self.num_insertions + other.num_insertions,
        )

    @property
    def num_reference(self) -> int:
        return self.num_correct + self.num_substitutions + self.num_deletions

    @property
    def num_errors(self) -> int:
        return self.num_substitutions + self.num_deletions + self.num_insertions

    @property
    def rate(self) -> float:
        """Errors divided by the length of the reference: above 1 if there are many insertions.

        An empty reference counts as one token, so the rate is the number of insertions. In a sum
        over utterances, an empty reference adds errors but no length.
        """
        return self.num_errors / max(1, self.num_reference)


@dataclass(frozen=True, slots=True)
class AlignedToken:
    """A token of the reference, of the hypothesis, or of both."""

    edit: Edit
    reference: str | None  # None: an insertion
    hypothesis: str | None  # None: a deletion


@dataclass(frozen=True, slots=True)
class Alignment:
    """An alignment of a reference and a hypothesis with the fewest errors, token by token."""

    tokens: tuple[AlignedToken, ...]

    @property
    def counts(self) -> EditCounts:
        edits = Counter(token.edit for token in self.tokens)
        return EditCounts(
            edits["correct"], edits["substitution"], edits["deletion"], edits["insertion"]
        )


def word_errors(reference: str, hypothesis: str, language: str = "en") -> EditCounts:
    """Errors in words; in languages without spaces, such as Mandarin, in characters."""
    return count_edits(units(reference, language), units(hypothesis, language))


def character_errors(reference: str, hypothesis: str, language: str = "en") -> EditCounts:
    """Errors in characters: in English with the spaces, in Mandarin without."""
    return count_edits(characters(reference, language), characters(hypothesis, language))


def characters(text: str, language: str) -> Sequence[str]:
    """The characters of the character error rate: one for several spaces; in Mandarin no spaces."""
    return (" " if is_spaced(language) else "").join(text.split())


def units(text: str, language: str) -> Sequence[str]:
    """The units of the word error rate: words; in Mandarin, characters."""
    return text.split() if is_spaced(language) else characters(text, language)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """An alignment with the fewest errors.

    If several alignments have the fewest errors, rapidfuzz chooses one, as it does for jiwer.
    Therefore all counts equal jiwer's. A text of 30,000 words takes less than 50 MB, without the
    alignment itself.
    """
    tokens: list[AlignedToken] = []
    for stretch in Levenshtein.opcodes(reference, hypothesis):
        ours = reference[stretch.src_start : stretch.src_end]
        theirs = hypothesis[stretch.dest_start : stretch.dest_end]
        edit = _EDITS[stretch.tag]
        tokens += (AlignedToken(edit, *pair) for pair in zip_longest(ours, theirs))
    return Alignment(tuple(tokens))


def count_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> EditCounts:
    """The counts of `align`, in less time."""
    edits = Counter(_EDITS[edit.tag] for edit in Levenshtein.editops(reference, hypothesis))
    num_correct = len(reference) - edits["substitution"] - edits["deletion"]
    return EditCounts(num_correct, edits["substitution"], edits["deletion"], edits["insertion"])


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The number of errors of `align`, in still less time."""
    return Levenshtein.distance(reference, hypothesis)


def most_confused(
    alignments: Iterable[Alignment], num_pairs: int = 20
) -> list[tuple[str, str, int]]:
    """The most frequent substitutions: reference, hypothesis and their number."""
    pairs = Counter(
        (token.reference or "", token.hypothesis or "")
        for alignment in alignments
        for token in alignment.tokens
        if token.edit == "substitution"
    )
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(*pair, count) for pair, count in ordered[:num_pairs]]


def bootstrap_interval(
    counts: Sequence[EditCounts],
    confidence: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval of error rates of similar test sets, at this confidence.

    It draws utterances with replacement, `num_samples` times (Bisani and Ney, "Bootstrap
    estimates for confidence intervals in ASR performance evaluation", ICASSP 2004). It treats
    utterances of one speaker as independent, so the true interval is wider if speakers are few.
    Raises ValueError without utterances.
    """
    if not counts:
        raise ValueError("an interval needs at least one utterance")
    errors = np.array([count.num_errors for count in counts])
    lengths = np.array([count.num_reference for count in counts])
    random = np.random.default_rng(seed)
    rates: list[NDArray[np.float64]] = []
    at_once = max(1, 1_000_000 // len(counts))  # limits the memory for a large test set
    for start in range(0, num_samples, at_once):
        shape = (min(at_once, num_samples - start), len(counts))
        drawn = random.integers(len(counts), size=shape)
        rates.append(errors[drawn].sum(axis=1) / np.maximum(1, lengths[drawn].sum(axis=1)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(rates), [tail, 1 - tail])
    return float(low), float(high)
