"""Pruning by entropy: leaves out the n-grams that change a model's predictions least."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import BEGIN, END
from ds2.ngram.levels import NgramLevel, backoff_masses

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

MAX_ROUNDS = 100
TOLERANCE = 1e-6
MAX_HALVINGS = 60
"""Halving the range of the threshold so often finds it to the last digit of a float."""


def pruning_costs(levels: Sequence[NgramLevel]) -> list[Floats]:
    """For each n-gram, the relative growth of the model's perplexity if it alone is left out.

    (N,) per order; infinite for words, which pruning does not remove. The perplexity is on text
    that follows the model itself (Stolcke 1998, "Entropy-based pruning of backoff language
    models"). SRILM's `ngram -prune` removes the n-grams whose growth is below its threshold.

    The probability of a context is a product of the model's own probabilities. Its first word has
    the frequency that the bigrams give it. Kneser-Ney's unigrams would give wrong frequencies,
    because they count contexts, not occurrences (Chelba et al. 2010).
    """
    probs = [10 ** level.log10_probs[:].astype(np.float64) for level in levels]
    frequencies = _word_frequencies(levels, probs)
    costs = [np.full(len(levels[0]), np.inf)]
    for k in range(1, len(levels)):
        if k > 1:
            frequencies = frequencies[levels[k - 1].parents[:]] * probs[k - 1]
        costs.append(_costs(levels[k], probs[k], probs[k - 1], frequencies))
    return costs


def _word_frequencies(levels: Sequence[NgramLevel], probs: Sequence[Floats]) -> Floats:
    """How often each word comes in text that follows the bigrams: (V,), 1 over all words.

    The start of a sentence is as frequent as its end.
    """
    frequencies = probs[0].copy()
    frequencies[BEGIN] = 0
    frequencies /= frequencies.sum()
    if len(levels) == 1:
        return frequencies
    firsts, seconds = levels[1].parents[:], levels[1].words[:]
    backoffs = 10 ** levels[0].log10_backoffs[:].astype(np.float64)
    above_backoff = probs[1] - backoffs[firsts] * probs[0][seconds]
    for _ in range(MAX_ROUNDS):
        before = frequencies.copy()
        before[BEGIN], before[END] = frequencies[END], 0
        listed = np.bincount(seconds, before[firsts] * above_backoff, len(before))
        updated: Floats = listed + probs[0] * (before @ backoffs)
        updated[BEGIN] = 0
        updated = np.maximum(updated, 0) / updated.sum()
        done = np.abs(updated - frequencies).sum() < TOLERANCE
        frequencies = updated
        if done:
            break
    frequencies[BEGIN] = frequencies[END]
    return frequencies


def _costs(level: NgramLevel, probs: Floats, probs_below: Floats, frequencies: Floats) -> Floats:
    """The costs of one level: (N,). probs_below, frequencies: of the contexts, (M,)."""
    contexts = level.parents[:]
    shorter = probs_below[level.suffixes[:]]
    left, left_below = backoff_masses(contexts, probs, shorter, len(frequencies))
    left, left_below = left[contexts], left_below[contexts]
    backoff = np.log(left / left_below)
    backoff_after = np.log((left + probs) / (left_below + shorter))
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = probs * (np.log(probs) - np.log(shorter) - backoff_after)
    loss -= left * (backoff_after - backoff)
    loss = np.where(probs > 0, loss, 0)
    return np.asarray(np.expm1(frequencies[contexts] * loss))


def pruned(
    levels: Sequence[NgramLevel], costs: Sequence[Floats], threshold: float
) -> list[NgramLevel]:
    """The model without the n-grams whose cost is below the threshold.

    costs: as `pruning_costs` returns them. An n-gram stays if a longer n-gram that stays begins or
    ends with it. New back-off weights make the probabilities of every context sum to one.
    """
    workspace = Workspace()
    kept = _kept(levels, costs, threshold)
    probs = [10 ** level.log10_probs[:].astype(np.float64) for level in levels]
    smaller = []
    for k, level in enumerate(levels):
        log10_backoffs = np.zeros(len(level))
        if k + 1 < len(levels):
            above, stays = levels[k + 1], kept[k + 1]
            contexts, suffixes = above.parents[:][stays], above.suffixes[:][stays]
            left, left_below = backoff_masses(
                contexts, probs[k + 1][stays], probs[k][suffixes], len(level)
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


def _kept(
    levels: Sequence[NgramLevel], costs: Sequence[Floats], threshold: float
) -> list[Booleans]:
    """The n-grams that stay, per order."""
    kept = [cost >= threshold for cost in costs]
    for k in range(len(levels) - 1, 0, -1):
        kept[k - 1][levels[k].parents[:][kept[k]]] = True
        kept[k - 1][levels[k].suffixes[:][kept[k]]] = True
    return kept


def threshold_for_size(
    levels: Sequence[NgramLevel],
    costs: Sequence[Floats],
    num_bytes: int,
    size_of: Callable[[Sequence[int]], int],
) -> float | None:
    """The lowest threshold whose model fits into `num_bytes`; None if even the words do not fit.

    size_of: takes the numbers of n-grams of each order, and returns the size of their file.
    """

    def fits(threshold: float) -> bool:
        kept = _kept(levels, costs, threshold)
        return size_of([int(np.count_nonzero(level)) for level in kept]) <= num_bytes

    if fits(0.0):
        return 0.0
    largest = max((float(cost.max()) for cost in costs[1:] if len(cost)), default=0.0)
    low, high = 1e-18, 2 * largest + 1e-17
    if not fits(high):
        return None
    for _ in range(MAX_HALVINGS):
        middle = float(np.sqrt(low * high))  # thresholds differ by factors, not by sums
        if middle in (low, high):
            break
        low, high = (low, middle) if fits(middle) else (middle, high)
        if high / low < 1 + 1e-4:
            break
    return high
