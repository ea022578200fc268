"""Interpolated modified Kneser-Ney, as KenLM's lmplz estimates it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.ngram.columns import Column, Workspace
from ds2.ngram.corpus import BEGIN, END, UNKNOWN, Report
from ds2.ngram.counts import CountedLevel
from ds2.ngram.levels import IMPOSSIBLE, NgramLevel

Floats = npt.NDArray[np.float64]

DEFAULT_FALLBACK = (0.5, 1.0, 1.5)
"""The discounts of lmplz --discount_fallback for counts of 1, 2, and 3 or more."""
MAX_ORDER = 8


@dataclass(frozen=True)
class EstimateConfig:
    """The settings of the estimation. The defaults are lmplz's."""

    order: int = 5
    prune: tuple[int, ...] = ()
    """Per order: leave out n-grams that occur at most this many times in the text. The last number
    also holds for all higher orders. Empty: leave out none."""
    vocabulary: int | None = None
    """Keep only this many of the most frequent words, and the n-grams of them; None: keep all."""
    interpolate_unigrams: bool = True
    """Share the mass of unseen words among all words. False: leave it to <unk>, as SRILM does."""
    discount_fallback: tuple[float, float, float] | None = None
    """Discounts for orders whose counts give none, as in small or artificial texts; None: fail."""

    def __post_init__(self) -> None:
        if not 1 <= self.order <= MAX_ORDER:
            raise ValueError(f"order: {self.order}: it must be 1 to {MAX_ORDER}")
        if len(self.prune) > self.order:
            raise ValueError(
                f"prune: {len(self.prune)} thresholds for a model of order {self.order}"
            )
        if any(threshold < 0 for threshold in self.prune):
            raise ValueError("prune: thresholds cannot be negative")
        if list(self.prune) != sorted(self.prune):
            raise ValueError("prune: thresholds must not fall from one order to the next")
        if self.vocabulary is not None and self.vocabulary < 1:
            raise ValueError(f"vocabulary: {self.vocabulary}: it must be at least 1 word")
        for count, discount in enumerate(self.discount_fallback or (), 1):
            if not 0 <= discount <= count:
                raise ValueError(
                    f"discount_fallback: {discount} for count {count}: it must be 0 to {count}"
                )

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The pruning threshold of every order."""
        given = self.prune or (0,)
        return given + given[-1:] * (self.order - len(given))


@dataclass(frozen=True, slots=True)
class _Adjusted:
    """A counted level, with the facts about its n-grams that smoothing needs."""

    level: CountedLevel
    counts: Column  # (N,) int64, the adjusted counts
    kept: Column  # (N,) bool, False for pruned n-grams
    discounts: Floats  # (4,) for adjusted counts of 0, 1, 2, and 3 or more


def estimate(
    levels: Sequence[CountedLevel], config: EstimateConfig, workspace: Workspace, report: Report
) -> tuple[list[NgramLevel], list[Floats]]:
    """The model of a text's n-grams, and the discounts (D1, D2, D3+) of each order.

    For an n-gram below the highest order, Kneser-Ney counts the different words before it, not its
    occurrences in the text. N-grams that start with BEGIN have no word before them, so they keep
    their counts (Chen and Goodman 1998, section 3; Heafield et al. 2013, section 3).

    Raises InputError if the counts give no discounts.
    """
    report("adjusting counts", None)
    lasts = _lasts_by_suffix(levels, workspace)
    adjusted: list[_Adjusted] = []
    for k in range(1, len(levels) + 1):
        counts = _adjusted_counts(levels, k, workspace)
        kept = _kept(levels[k - 1], adjusted, config, workspace)
        discounts = _discounts(levels[k - 1].counts, counts, lasts.get(k), k, config, workspace)
        adjusted.append(_Adjusted(levels[k - 1], counts, kept, discounts))
    probs, log10_probs = _smooth_unigrams(adjusted[0], config, workspace)
    result = []
    for k in range(2, len(levels) + 1):
        report("estimating", (k - 1) / len(levels))
        below, below_log10_probs = adjusted[k - 2], log10_probs
        probs, log10_probs, backoffs = _smooth(adjusted[k - 1], probs, below, workspace)
        result.append(_finished(below, below_log10_probs, backoffs))
    result.append(_finished(adjusted[-1], log10_probs, workspace.zeros(len(levels[-1]))))
    return result, [level.discounts[1:] for level in adjusted]


def _finished(adjusted: _Adjusted, log10_probs: Column, log10_backoffs: Column) -> NgramLevel:
    level = adjusted.level
    return NgramLevel(
        level.words, level.parents, level.suffixes, log10_probs, log10_backoffs, adjusted.kept
    )


def _adjusted_counts(levels: Sequence[CountedLevel], k: int, workspace: Workspace) -> Column:
    """The adjusted counts of the k-grams: (N,) int64."""
    level = levels[k - 1]
    if k == len(levels):
        return level.counts
    num_from_begin = BEGIN + 1  # they come first; UNKNOWN has only its own 1-gram
    for higher in levels[1:k]:
        num_from_begin = higher.num_below(num_from_begin, workspace)
    num_predecessors = workspace.occurrences(levels[k].suffixes, len(level))
    adjusted = workspace.column(np.int64)
    for rows in workspace.blocks(len(level)):
        counts = num_predecessors[rows].copy()
        from_begin = max(0, num_from_begin - rows.start)
        counts[:from_begin] = level.counts[rows][:from_begin]
        adjusted.append(counts)
    num_predecessors.clear()
    return adjusted


def _kept(
    level: CountedLevel, below: Sequence[_Adjusted], config: EstimateConfig, workspace: Workspace
) -> Column:
    """The n-grams that pruning leaves, by their raw counts: (N,) bool."""
    threshold = config.thresholds[len(below)]
    kept = workspace.column(np.bool_)
    for rows in workspace.blocks(len(level)):
        is_kept = level.counts[rows] > threshold
        if below and config.vocabulary is not None:
            # a k-gram stays only if its last word and its first k - 1 words stay
            is_kept &= below[0].kept.take(level.words[rows])
            is_kept &= below[-1].kept.take(level.parents[rows])
        kept.append(is_kept)
    if below:
        return kept
    words = kept[:].copy()
    if config.vocabulary is not None:
        by_frequency = np.argsort(-level.counts[:], kind="stable")  # ties: the first in the text
        by_frequency = by_frequency[by_frequency > END]
        words[by_frequency[config.vocabulary :]] = False
    words[: END + 1] = True
    return workspace.column(np.bool_, words)


def _lasts_by_suffix(levels: Sequence[CountedLevel], workspace: Workspace) -> dict[int, int]:
    """Per order below the highest, the n-gram that comes last when sorted from the last word.

    The result lacks the orders without one: there, no word precedes the last n-gram of the order
    before.
    """
    lasts: dict[int, int] = {}
    last = len(levels[0]) - 1
    for k in range(1, len(levels)):
        if k > 1:
            suffixes = levels[k - 1].suffixes
            found = -1
            for rows in workspace.blocks(len(suffixes)):
                matches = np.flatnonzero(suffixes[rows] == last)
                found = rows.start + int(matches[-1]) if len(matches) else found
            if found < 0:
                break
            last = found
        lasts[k] = last
    return lasts


def _discounts(
    raw: Column,
    adjusted: Column,
    last: int | None,
    k: int,
    config: EstimateConfig,
    workspace: Workspace,
) -> Floats:
    """The discounts of the k-grams (Chen and Goodman 1998, equation 26): (4,), the first is 0.

    Raises InputError if they cannot be computed and there is no fallback.
    """
    num_with_count = np.zeros(6, np.int64)  # numbers of n-grams with count 0, 1, ... 4, more
    for rows in workspace.blocks(len(adjusted)):
        num_with_count += np.bincount(np.minimum(adjusted[rows], 5), minlength=6)
    if last is not None:
        # For this one n-gram, lmplz uses the raw count in its statistics (the end of
        # AdjustCounts::Run). It is a slip of lmplz, but it changes the discounts of short texts.
        num_with_count[min(int(adjusted[last : last + 1][0]), 5)] -= 1
        num_with_count[min(int(raw[last : last + 1][0]), 5)] += 1
    reason = ""
    discounts = np.zeros(4)
    n = num_with_count.astype(np.float32)  # as in lmplz: its rounding decides close to 0
    for count in (1, 2, 3):
        if n[count] == 0:
            reason = f"none has an adjusted count of {count}"
            break
        share = n[1] / (n[1] + 2 * n[2])
        discounts[count] = count - np.float32(count + 1) * share * n[count + 1] / n[count]
        if not 0 <= discounts[count] <= count:
            reason = f"the discount for count {count} would be {discounts[count]:.3g}"
            break
    if not reason:
        return discounts
    if config.discount_fallback is None:
        raise InputError(
            f"the text is too small or too repetitive to smooth {k}-grams ({reason}): add "
            "--discount-fallback, which uses standard discounts, or give more text, remove "
            "repeated lines, or lower --order"
        )
    return np.array([0.0, *config.discount_fallback])


def _smooth_unigrams(
    adjusted: _Adjusted, config: EstimateConfig, workspace: Workspace
) -> tuple[Column, Column]:
    """The probabilities of words without context, and their logarithms: (N,) float32."""
    counts, kept, discounts = adjusted.counts[:], adjusted.kept[:], adjusted.discounts
    total = counts.sum()
    classes = np.minimum(counts, 3)
    weight = (discounts[classes[kept]].sum() + counts[~kept].sum()) / total
    uniform = 1 / (np.count_nonzero(kept) - 1)  # BEGIN is never predicted
    probs = (counts - discounts[classes]) / total
    if config.interpolate_unigrams:
        probs += weight * uniform
    else:
        probs[UNKNOWN] = weight
    probs[BEGIN] = 1.0  # so that a sentence may contain it at no cost
    return workspace.column(np.float32, probs), workspace.column(np.float32, _log10(probs))


def _smooth(
    adjusted: _Adjusted, lower_probs: Column, below: _Adjusted, workspace: Workspace
) -> tuple[Column, Column, Column]:
    """The probabilities of k-grams, their logarithms, and the back-off weights of their contexts.

    p(w | context) = (count - discount) / total + weight(context) * p(w | shorter context), where
    weight is the share that discounts and pruning took from the context. All are float32. The
    weights are logarithms, one for every (k-1)-gram.
    """
    probs, log10_probs = workspace.column(np.float32), workspace.column(np.float32)
    log10_weights = workspace.column(np.float32)
    level = adjusted.level
    for rows in level.context_blocks(workspace):
        parents, counts = level.parents[rows], adjusted.counts[rows]
        kept = adjusted.kept[rows]
        is_first = np.diff(parents.astype(np.int64), prepend=-1) != 0
        firsts = np.flatnonzero(is_first)
        discounted = adjusted.discounts[np.minimum(counts, 3)]
        totals = np.add.reduceat(counts, firsts)
        taken = np.add.reduceat(np.where(kept, discounted, counts), firsts)
        weights = taken / totals
        sizes = np.diff(firsts, append=len(parents))
        higher = (counts - discounted) / np.repeat(totals, sizes)
        higher += np.repeat(weights, sizes) * lower_probs.take(level.suffixes[rows])
        probs.append(higher)
        log10_probs.append(_log10(higher))
        contexts = parents[firsts]
        dense = np.zeros(int(contexts[-1]) + 1 - len(log10_weights), np.float32)
        dense[contexts - len(log10_weights)] = _log10(weights)
        log10_weights.append(dense)
    log10_weights.append(np.zeros(len(below.level) - len(log10_weights)))
    lower_probs.clear()
    adjusted.counts.clear()
    return probs, log10_probs, log10_weights


def _log10(probs: Floats) -> Floats:
    """Logarithms in float32, at most 0, although rounding may lift a probability above 1."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log10(probs.astype(np.float32)), IMPOSSIBLE, 0)
