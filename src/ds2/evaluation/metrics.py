"""Word and character error rates, with the alignments they are counted from."""

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
"""Our names of what rapidfuzz finds."""


@dataclass(frozen=True, slots=True)
class EditCounts:
    """How a hypothesis differs from its reference, in words or characters."""

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
        """Errors over the length of the reference: above 1 if there are many insertions.

        An empty reference counts as one token long: 0 if nothing was heard either, else the
        number of insertions. In a sum over utterances it adds errors and no length.
        """
        return self.num_errors / max(1, self.num_reference)


@dataclass(frozen=True, slots=True)
class AlignedToken:
    """A token of the reference, of the hypothesis, or of both, where they stand together."""

    edit: Edit
    reference: str | None  # None: an insertion
    hypothesis: str | None  # None: a deletion


@dataclass(frozen=True, slots=True)
class Alignment:
    """A cheapest way from a reference to a hypothesis, token by token."""

    tokens: tuple[AlignedToken, ...]

    @property
    def counts(self) -> EditCounts:
        edits = Counter(token.edit for token in self.tokens)
        return EditCounts(
            edits["correct"], edits["substitution"], edits["deletion"], edits["insertion"]
        )


def word_errors(reference: str, hypothesis: str, language: str = "en") -> EditCounts:
    """Errors in words, which spaces part; a text without them, as in Mandarin, in characters."""
    return count_edits(units(reference, language), units(hypothesis, language))


def character_errors(reference: str, hypothesis: str, language: str = "en") -> EditCounts:
    """Errors in characters: in English with the spaces, in Mandarin without."""
    return count_edits(characters(reference, language), characters(hypothesis, language))


def characters(text: str, language: str) -> Sequence[str]:
    """What the character error rate counts: runs of spaces as one, in Mandarin none at all."""
    return (" " if is_spaced(language) else "").join(text.split())


def units(text: str, language: str) -> Sequence[str]:
    """What the word error rate counts: words; in Mandarin, characters."""
    return text.split() if is_spaced(language) else characters(text, language)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """An alignment with the fewest errors.

    Where several have as few, rapidfuzz chooses, as it does for jiwer: so all counts are those
    that jiwer gives. A text of 30,000 words takes less than 50 MB besides the alignment.
    """
    tokens: list[AlignedToken] = []
    for stretch in Levenshtein.opcodes(reference, hypothesis):
        ours = reference[stretch.src_start : stretch.src_end]
        theirs = hypothesis[stretch.dest_start : stretch.dest_end]
        edit = _EDITS[stretch.tag]
        tokens += (AlignedToken(edit, *pair) for pair in zip_longest(ours, theirs))
    return Alignment(tuple(tokens))


def count_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> EditCounts:
    """The counts of their alignment, sooner."""
    edits = Counter(_EDITS[edit.tag] for edit in Levenshtein.editops(reference, hypothesis))
    num_correct = len(reference) - edits["substitution"] - edits["deletion"]
    return EditCounts(num_correct, edits["substitution"], edits["deletion"], edits["insertion"])


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """How many errors they hold, sooner still."""
    return Levenshtein.distance(reference, hypothesis)


def most_confused(
    alignments: Iterable[Alignment], num_pairs: int = 20
) -> list[tuple[str, str, int]]:
    """The commonest substitutions: reference, hypothesis and how often."""
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
    """Between which error rates a test set like this one would give, at this confidence.

    Utterances are drawn anew, with replacement, `num_samples` times (Bisani and Ney, "Bootstrap
    estimates for confidence intervals in ASR performance evaluation", ICASSP 2004). Utterances
    of one speaker are taken as independent: with few speakers the truth is wider.
    Raises ValueError without utterances.
    """
    if not counts:
        raise ValueError("an interval needs at least one utterance")
    errors = np.array([count.num_errors for count in counts])
    lengths = np.array([count.num_reference for count in counts])
    random = np.random.default_rng(seed)
    rates: list[NDArray[np.float64]] = []
    at_once = max(1, 1_000_000 // len(counts))  # bounds the memory of a large test set
    for start in range(0, num_samples, at_once):
        shape = (min(at_once, num_samples - start), len(counts))
        drawn = random.integers(len(counts), size=shape)
        rates.append(errors[drawn].sum(axis=1) / np.maximum(1, lengths[drawn].sum(axis=1)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(rates), [tail, 1 - tail])
    return float(low), float(high)
