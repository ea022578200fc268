"""Pruning by entropy: leaves out the n-grams that change a model's predictions least.

Stolcke 1998, "Entropy-based pruning of backoff language models". `ngram -prune` of SRILM does this.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import BEGIN, END
from ds2.ngram.levels import NgramLevel, backoff_masses

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]

MAX_ROUNDS = 100
TOLERANCE = 1e-6


class EntropyPruner:
    """Finds out what each n-gram of a model is worth, and makes smaller models.

    Lists have an entry for each order.
    """

    def __init__(self, levels: Sequence[NgramLevel]) -> None:
        self._levels = levels
        self._parents: list[Numbers] = [level.parents[:] for level in levels]
        self._suffixes: list[Numbers] = [level.suffixes[:] for level in levels]
        self._probs = [10 ** level.log10_probs[:].astype(np.float64) for level in levels]
        self._probs[0][BEGIN] = 0  # no text has it after other words
        self.costs = self._costs()
        """(N,) per order: the relative growth of the perplexity if one n-gram alone goes. It is
        infinite for words, which stay."""
        self._worth = self._worth_by(self.costs)

    def _costs(self) -> list[Floats]:
        """The costs, on text that follows the model."""
        costs = [np.full(len(self._levels[0]), np.inf)]
        frequencies = self._word_frequencies()
        for k in range(1, len(self._levels)):
            parents, probs = self._parents[k], self._probs[k]
            if k > 1:
                frequencies = frequencies[self._parents[k - 1]] * self._probs[k - 1]
            shorter = self._probs[k - 1][self._suffixes[k]]
            left, left_below = backoff_masses(parents, probs, shorter, len(frequencies))
            left, left_below = left[parents], left_below[parents]
            backoffs = np.log(left / left_below)
            backoffs_after = np.log((left + probs) / (left_below + shorter))
            with np.errstate(divide="ignore", invalid="ignore"):
                losses = probs * (np.log(probs) - np.log(shorter) - backoffs_after)
            losses = np.where(probs > 0, losses, 0) - left * (backoffs_after - backoffs)
            costs.append(np.expm1(frequencies[parents] * losses))
        return costs

    def _word_frequencies(self) -> Floats:
        """How often each word comes in text that follows the bigrams: (V,).

        The probabilities of single words would not do. Kneser-Ney makes them from the numbers of
        different words before, which is good after backing off only (Chelba et al. 2010).
        """
        words = self._probs[0]
        frequencies: Floats = words / words.sum()
        if len(self._levels) > 1:
            firsts, seconds = self._parents[1], self._levels[1].words[:]
            left, left_below = backoff_masses(firsts, self._probs[1], words[seconds], len(words))
            backoffs = left / left_below
            above_backoff = self._probs[1] - backoffs[firsts] * words[seconds]
            for _ in range(MAX_ROUNDS):
                before = frequencies.copy()
                before[BEGIN], before[END] = frequencies[END], 0
                listed = np.bincount(seconds, before[firsts] * above_backoff, len(words))
                updated: Floats = np.maximum(listed + words * (before @ backoffs), 0)
                updated /= updated.sum()
                change = np.abs(updated - frequencies).sum()
                frequencies = updated
                if change < TOLERANCE:
                    break
        frequencies[BEGIN] = frequencies[END]  # a sentence starts as often as one ends
        return frequencies

    def _worth_by(self, costs: Sequence[Floats]) -> list[Floats]:
        """The highest cost of each n-gram and of all n-grams that begin or end with it."""
        worth = [values.copy() for values in costs]
        for k in range(len(worth) - 1, 0, -1):
            np.maximum.at(worth[k - 1], self._parents[k], worth[k])
            np.maximum.at(worth[k - 1], self._suffixes[k], worth[k])
        return worth

    def pruned(self, threshold: float) -> list[NgramLevel]:
        """The model without the n-grams whose cost is below the threshold.

        An n-gram stays if a longer one that stays begins or ends with it. New back-off weights make
        the probabilities after every context sum to one.
        """
        kept = [worth >= threshold for worth in self._worth]
        workspace = Workspace()
        smaller = []
        for k, level in enumerate(self._levels):
            log10_backoffs = np.zeros(len(level))
            if k + 1 < len(self._levels):
                stays = kept[k + 1]
                contexts = self._parents[k + 1][stays]
                shorter = self._probs[k][self._suffixes[k + 1][stays]]
                left, left_below = backoff_masses(
                    contexts, self._probs[k + 1][stays], shorter, len(level)
                )
                has_children = np.bincount(contexts, minlength=len(level)) > 0
                log10_backoffs = np.where(has_children, np.log10(left / left_below), 0)
            smaller.append(
                replace(
                    level,
                    log10_backoffs=workspace.column(np.float32, log10_backoffs),
                    kept=workspace.column(np.bool_, kept[k]),
                )
            )
        return smaller

    def threshold_for(
        self, num_bytes: int, size_of: Callable[[Sequence[int]], int]
    ) -> float | None:
        """The lowest threshold whose model fits into `num_bytes`; None if the words alone do not.

        size_of: takes the numbers of n-grams of each order, and returns the size of their file.
        """
        ascending = [np.sort(worth) for worth in self._worth]

        def fits(threshold: float) -> bool:
            counts = [len(worth) - int(np.searchsorted(worth, threshold)) for worth in ascending]
            return size_of(counts) <= num_bytes

        thresholds = np.unique(np.concatenate([np.zeros(1), *ascending[1:]]))
        thresholds = thresholds[thresholds >= 0]
        thresholds = np.append(thresholds, np.nextafter(thresholds[-1], np.inf))
        place = bisect_left(thresholds, True, key=fits)
        return float(thresholds[place]) if place < len(thresholds) else None
