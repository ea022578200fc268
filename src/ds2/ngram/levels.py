"""The n-grams of a back-off model, order by order. Builders make them; the binary stores them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ds2.ngram.columns import Column, Workspace

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]
Numbers = npt.NDArray[Any]

IMPOSSIBLE = -99.0
"""Stands for the logarithm of 0, as in SRILM's files."""
LEAST_MASS = 1e-9
"""If a context leaves less than this mass for other words, it is rounding error."""


@dataclass(frozen=True, slots=True)
class NgramLevel:
    """The k-grams of a model, sorted by their words, the first word first.

    For every k-gram, the model also has the n-grams of its first and of its last k - 1 words.
    """

    words: Column  # (N,) int32, the last word of each
    parents: Column  # (N,) uint32, the index in the level below of all words but the last
    suffixes: Column  # (N,) uint32, the same for all words but the first
    log10_probs: Column  # (N,) float32, of the last word after the others
    log10_backoffs: Column  # (N,) float32, for use as a context; zeros in the highest order
    kept: Column | None = None  # (N,) bool, False for pruned n-grams; None if nothing was pruned

    def __len__(self) -> int:
        return len(self.words)

    def kept_rows(self, rows: slice) -> npt.NDArray[np.bool_]:
        """True for the rows that belong to the model."""
        if self.kept is None:
            return np.ones(rows.stop - rows.start, np.bool_)
        return self.kept[rows]

    def num_kept(self, workspace: Workspace) -> int:
        """The number of n-grams of this order in the model."""
        if self.kept is None:
            return len(self)
        return sum(int(np.count_nonzero(self.kept[rows])) for rows in workspace.blocks(len(self)))


def backoff_masses(
    parents: Numbers, probs: Floats, shorter_probs: Floats, num_contexts: int
) -> tuple[Floats, Floats]:
    """What the listed words of each context leave for other words: (num_contexts,) each.

    First by the probabilities after the context, then by those after the shorter context. Their
    quotient is the back-off weight that makes the probabilities of the context sum to one.

    parents, probs, shorter_probs: (N,) the context of each n-gram, and the probabilities of its
        last word after the context and after the shorter context.
    """
    listed = np.bincount(parents, probs, num_contexts)
    shorter = np.bincount(parents, shorter_probs, num_contexts)
    return np.maximum(1 - listed, LEAST_MASS), np.maximum(1 - shorter, LEAST_MASS)


def spelled(levels: Sequence[NgramLevel], order: int, rows: Numbers) -> Rows:
    """All words of some n-grams: rows (M,), their indices in the level -> (M, order) int32."""
    words = np.empty((len(rows), order), np.int32)
    for k in range(order, 0, -1):
        level = levels[k - 1]
        words[:, k - 1] = level.words.take(rows)
        if k > 1:
            rows = level.parents.take(rows)
    return words


@dataclass(frozen=True, slots=True)
class SortedGrams:
    """The shape of one level: its n-grams in order, without their probabilities."""

    words: Rows  # (N,) int32, as in NgramLevel
    parents: Integers  # (N,)
    suffixes: Integers  # (N,)
    sources: Integers  # (N,) the row in the input, -1 for an added n-gram


def sorted_grams(grams: Sequence[Rows], vocabulary_size: int) -> list[SortedGrams]:
    """Sort n-grams, and add missing n-grams with which others begin or end.

    Pruned models of SRILM and IRSTLM have such holes. The caller must give the added n-grams the
    probabilities that backing off gives.

    grams: (M, k) int32 for k = 1, 2, ...: the words of distinct n-grams in any order. The first
        array must hold all words, by id.
    """
    grams = list(grams)
    sources = [np.arange(len(rows)) for rows in grams]
    while True:
        levels = [_sorted_level(grams[0], sources[0])]
        missing: list[Rows] = []
        for k in range(2, len(grams) + 1):
            level, holes = _linked_level(grams[k - 1], sources[k - 1], levels, vocabulary_size)
            if len(holes):
                missing.append(holes)
                break
            levels.append(level)
        if not missing:
            return levels
        holes = missing[0]
        k = holes.shape[1]
        grams[k - 1] = np.concatenate([grams[k - 1], holes])
        sources[k - 1] = np.concatenate([sources[k - 1], np.full(len(holes), -1)])


def _sorted_level(words: Rows, sources: Integers) -> SortedGrams:
    nothing = np.zeros(len(words), np.int64)
    return SortedGrams(words[:, 0], nothing, nothing, sources)


def _linked_level(
    rows: Rows, sources: Integers, below: Sequence[SortedGrams], vocabulary_size: int
) -> tuple[SortedGrams, Rows]:
    """The level above the levels `below`, and the (k-1)-grams that it needs but they lack."""
    order = lexicographic_order(rows, vocabulary_size)
    rows, sources = rows[order], sources[order]
    parents = find(rows[:, :-1], below, vocabulary_size)
    suffixes = find(rows[:, 1:], below, vocabulary_size)
    holes = np.concatenate([rows[parents < 0, :-1], rows[suffixes < 0, 1:]])
    if len(holes):
        holes = holes[lexicographic_order(holes, vocabulary_size)]
        is_new = np.any(np.diff(holes, axis=0, prepend=-1) != 0, axis=1)
        holes = holes[is_new]
    return SortedGrams(rows[:, -1], parents, suffixes, sources), holes


def find(rows: Rows, levels: Sequence[SortedGrams], vocabulary_size: int) -> Integers:
    """The indices of n-grams in their level, -1 for missing n-grams.

    rows: (M, k) int32. levels: at least those of orders 1 to k.
    """
    found = rows[:, 0].astype(np.int64)
    for k in range(2, rows.shape[1] + 1):
        level = levels[k - 1]
        keys = level.parents * vocabulary_size + level.words
        wanted = found * vocabulary_size + rows[:, k - 1]
        if len(keys) == 0:
            return np.full(len(rows), -1)
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = np.where((keys[places] == wanted) & (found >= 0), places, -1)
    return found


def lexicographic_order(rows: Rows, vocabulary_size: int) -> Integers:
    """The order that sorts n-grams by their words, first word first: (M, k) -> (M,)."""
    bits = max(1, (vocabulary_size - 1).bit_length())
    together = 63 // bits  # number of words that fit one 64-bit key
    keys = list(_packed(rows, bits, together))
    return np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0], kind="stable")


def _packed(rows: Rows, bits: int, together: int) -> Iterator[Integers]:
    for start in range(0, rows.shape[1], together):
        key = np.zeros(len(rows), np.int64)
        for column in range(start, min(start + together, rows.shape[1])):
            key = (key << bits) | rows[:, column]
        yield key
