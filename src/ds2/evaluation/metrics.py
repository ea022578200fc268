"""Word and character error rates, with the alignments they are counted from."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ds2.text.language import is_spaced

Edit: TypeAlias = Literal["correct", "substitution", "deletion", "insertion"]
Tokens: TypeAlias = NDArray[np.int64]  # (U,), equal where the tokens are


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
    """Errors in words, which spaces part; a text without spaces, as in Mandarin, in characters."""
    if not is_spaced(language):
        return character_errors(reference, hypothesis, language)
    return align(reference.split(), hypothesis.split()).counts


def character_errors(reference: str, hypothesis: str, language: str = "en") -> EditCounts:
    """Errors in characters: in English with the spaces, in Mandarin without."""
    return align(characters(reference, language), characters(hypothesis, language)).counts


def characters(text: str, language: str) -> Sequence[str]:
    """What the character error rate counts: runs of spaces as one, in Mandarin none at all."""
    return (" " if is_spaced(language) else "").join(text.split())


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """The alignment with the fewest errors and, of those, the most tokens correct.

    That settles all counts, so they do not depend on how ties are broken. A long text costs
    time by the square of its length, but never more than some 50 MB.
    """
    start, stop = _common_ends(reference, hypothesis)
    numbers: dict[str, int] = {}
    middles = (
        np.array([numbers.setdefault(token, len(numbers)) for token in tokens], np.int64)
        for tokens in (
            reference[start : len(reference) - stop],
            hypothesis[start : len(hypothesis) - stop],
        )
    )
    moves = [_BOTH] * start + _moves(*middles) + [_BOTH] * stop
    references, hypotheses = iter(reference), iter(hypothesis)
    tokens = []
    for move in moves:
        ours = None if move == _INSERT else next(references)
        theirs = None if move == _DELETE else next(hypotheses)
        tokens.append(AlignedToken(_edit(ours, theirs), ours, theirs))
    return Alignment(tuple(tokens))


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


_BOTH, _DELETE, _INSERT = range(3)

_MOST_CELLS = 4_000_000  # of the table of costs that is kept whole, 4 bytes each


def _edit(reference: str | None, hypothesis: str | None) -> Edit:
    if reference is None:
        return "insertion"
    if hypothesis is None:
        return "deletion"
    return "correct" if reference == hypothesis else "substitution"


def _common_ends(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int]:
    """How many tokens both begin with, and how many of the others both end with."""
    longest = min(len(reference), len(hypothesis))
    start = 0
    while start < longest and reference[start] == hypothesis[start]:
        start += 1
    stop = 0
    while stop < longest - start and reference[-1 - stop] == hypothesis[-1 - stop]:
        stop += 1
    return start, stop


def _moves(reference: Tokens, hypothesis: Tokens) -> list[int]:
    """The steps of the best alignment, by Hirschberg's halving where the table is too large."""
    if len(reference) < 2 or len(reference) * len(hypothesis) <= _MOST_CELLS:
        return _traced(reference, hypothesis)
    middle = len(reference) // 2
    error = _price(reference, hypothesis)
    before = _last(_rows(reference[:middle], hypothesis, error))
    after = _last(_rows(reference[middle:][::-1], hypothesis[::-1], error))[::-1]
    split = int(np.argmin(before + after))
    return _moves(reference[:middle], hypothesis[:split]) + _moves(
        reference[middle:], hypothesis[split:]
    )


def _last(rows: Iterable[Tokens]) -> Tokens:
    return deque(rows, maxlen=1)[0]


def _price(reference: Tokens, hypothesis: Tokens) -> int:
    """What an error costs: more than all correct tokens, of which each earns 1, can make up for."""
    return min(len(reference), len(hypothesis)) + 1


def _rows(reference: Tokens, hypothesis: Tokens, error: int) -> Iterator[Tokens]:
    """The table of costs, row by row: row i, column j for i reference and j hypothesis tokens.

    Within a row, insertions chain: new[j] = min over k <= j of open[k] + (j - k) * error, which
    is a running minimum once j * error is taken off.
    """
    inserted = error * np.arange(len(hypothesis) + 1)
    row = inserted
    yield row
    for token in reference:
        opened = row + error  # a deletion
        both = row[:-1] + np.where(hypothesis == token, -1, error)
        np.minimum(opened[1:], both, out=opened[1:])
        row = np.minimum.accumulate(opened - inserted) + inserted
        yield row


def _traced(reference: Tokens, hypothesis: Tokens) -> list[int]:
    """The steps of the best alignment, from the whole table."""
    error = _price(reference, hypothesis)
    costs = np.empty((len(reference) + 1, len(hypothesis) + 1), np.int32)
    for index, row in enumerate(_rows(reference, hypothesis, error)):
        costs[index] = row
    i, j = len(reference), len(hypothesis)
    moves = []
    while i or j:
        same = -1 if i and j and reference[i - 1] == hypothesis[j - 1] else error
        if i and j and costs[i, j] == costs[i - 1, j - 1] + same:
            move = _BOTH
        elif i and costs[i, j] == costs[i - 1, j] + error:
            move = _DELETE
        else:
            move = _INSERT
        i -= move != _INSERT
        j -= move != _DELETE
        moves.append(move)
    return moves[::-1]
