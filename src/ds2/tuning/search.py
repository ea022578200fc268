"""The search for alpha, beta, the price of unknown words and the weight of the labels' priors.

It is slow to decode a development set, and fast to weigh the decoded texts again. Therefore the
search does not decode with each setting, as a grid or an optimiser of error rates would. Each
decoding gives the best texts of every utterance, with the parts of their scores. From all texts so
far, the error rates of thousands of settings follow in a second. The next decoding uses the best of
these settings, and adds the texts that matter there. The search ends when the best settings no
longer change. This is minimum error rate training (Och, 2003), with a grid in place of his line
search, because there are only three numbers. The search averages the rate over neighbouring
settings before it takes the best: a development set is small, and a narrow dent in the surface is
chance (Cer et al., 2008).

The weight of the priors changes the acoustic scores themselves. So there is a search for each of a
few weights, and each begins with the best settings of the one before.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.settings import BeamSettings
from ds2.ngram.corpus import Report
from ds2.ngram.model import NgramModel
from ds2.tuning.candidates import FORBIDDEN, Pool
from ds2.tuning.dev_set import DevSet, Trial

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

NUM_BEST = 50
"""The number of texts from each utterance's beam."""
NUM_FOLDS = 10
PRICES = (None, -20.0, -15.0, -10.0, -7.0, -5.0, -3.0, -1.5, 0.0)
"""Prices of unknown words; None forbids them, like an infinite price."""
Start = tuple[float, float, float | None]
STARTS: tuple[Start, ...] = ((1.0, 1.5, None), (2.0, 3.0, -5.0))
"""alpha, beta and price of the second and third decoding; far apart, to get different texts."""
PRIOR_WEIGHTS = (0.0, 0.2, 0.4, 0.6)
"""Weights of the labels' priors."""
BETWEEN = 0.1
"""The distance of two more weights on both sides of the best one."""
NEAR = (0.05, 0.25)
"""The largest differences in alpha and beta that do not count as different."""


@dataclass(frozen=True)
class Grid:
    """Settings at regular distances: alpha by beta by price."""

    alphas: Floats
    betas: Floats
    prices: tuple[float | None, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.alphas), len(self.betas), len(self.prices)

    @cached_property
    def weights(self) -> Floats:
        """The weights (P, 4) for `Pool.errors`."""
        prices = [FORBIDDEN if price is None else price for price in self.prices]
        axes = np.meshgrid([1.0], self.alphas, self.betas, prices, indexing="ij")
        return np.stack([axis.ravel() for axis in axes], axis=1)

    def smoothed(self, errors: Integers) -> Floats:
        """The mean of (P,) errors over each setting and its neighbours, in the grid's shape."""
        padded = np.pad(errors.reshape(self.shape), 1, mode="edge").astype(np.float64)
        return np.asarray(sliding_window_view(padded, (3, 3, 3)).mean(axis=(3, 4, 5)))

    def lowest(self, errors: Integers) -> tuple[int, tuple[float, float, float | None]]:
        """The index of the best setting by (P,) errors, and its alpha, beta and price."""
        index = int(self.smoothed(errors).argmin())
        a, b, p = np.unravel_index(index, self.shape)
        return index, (float(self.alphas[a]), float(self.betas[b]), self.prices[p])


def wide_grid(around: BeamSettings, prices: tuple[float | None, ...], size: int = 17) -> Grid:
    """A grid from alpha 0 to twice the current alpha, and from beta - 4 to beta + 4.

    It lies around the best settings so far, so no fixed range can hide better settings.
    """
    alphas = np.linspace(0, max(2.0, 2 * around.lm_weight), size)
    return Grid(alphas, around.word_bonus + np.linspace(-4, 4, size), prices)


def _fine_grid(alpha: float, beta: float, price: float | None) -> Grid:
    place = PRICES.index(price)
    alphas = np.round(alpha + np.arange(-4, 5) * 0.05, 2)
    betas = np.round(beta + np.arange(-6, 7) * 0.1, 1)
    return Grid(alphas[alphas >= 0], betas, PRICES[max(0, place - 1) : place + 2])


@dataclass(frozen=True)
class Surface:
    """The error rates over alpha and beta at one price, from the candidates."""

    alphas: Floats  # (A,)
    betas: Floats  # (B,)
    rates: Floats  # (A, B)


@dataclass(frozen=True)
class Search:
    """The trials of the search with one weight of the priors, and its results."""

    trials: tuple[Trial, ...]
    best: Trial
    surface: Surface
    chosen_rate: float  # error rate of the best settings, from the candidates
    held_out_rate: float  # error rate if other utterances choose each utterance's settings


def search_with_priors(
    dev: DevSet,
    lm: NgramModel,
    first: BeamSettings,
    *,
    num_trials: int,
    num_threads: int,
    report: Report,
) -> tuple[Search, ...]:
    """Search with several weights of the priors. The search with the fewest errors comes first.

    The parameters are those of `search`; num_trials counts for each weight.
    """
    searches: list[Search] = []
    waiting = list(PRIOR_WEIGHTS)
    while waiting:
        before = searches[-1].best.settings if searches else first
        found = search(
            dev,
            lm,
            replace(before, prior_weight=waiting.pop(0), label_priors=dev.label_priors),
            starts=() if searches else STARTS,
            num_trials=num_trials,
            num_threads=num_threads,
            report=report,
        )
        searches.append(found)
        if len(searches) == len(PRIOR_WEIGHTS):
            _, best = min(map(_rank, searches))
            near = (round(best - BETWEEN, 2), round(best + BETWEEN, 2))
            waiting += [weight for weight in near if weight > 0]
    return tuple(sorted(searches, key=_rank))


def _rank(found: Search) -> tuple[int, float]:
    """Its number of errors; of two searches with the same number, the smaller weight is better."""
    return found.best.num_errors, found.best.settings.prior_weight


def search(
    dev: DevSet,
    lm: NgramModel,
    first: BeamSettings,
    *,
    starts: Sequence[Start] = STARTS,
    num_trials: int,
    num_threads: int,
    report: Report,
) -> Search:
    """Find alpha, beta and the price of unknown words that give the fewest errors.

    first: the first settings; all trials use their beam, pruning and priors.
    starts: the alpha, beta and price of more decodings at the beginning.
    num_trials: the largest number of decodings; the search ends earlier if it has already decoded
        with the best settings.
    """
    pool = Pool(dev, lm)
    trials: list[Trial] = []
    waiting = [first, *(_at(first, point) for point in starts)]
    while waiting and len(trials) < num_trials:
        settings = waiting.pop(0)
        beams = BeamSearch(dev.alphabet, settings, lm)
        start_s = time.perf_counter()
        decoded = dev.decode(
            beams,
            n=NUM_BEST,
            num_threads=num_threads,
            stage=f"priors {first.prior_weight:g}: decoding, {len(trials) + 1} of at most "
            f"{num_trials}",
            report=report,
        )
        counts = dev.counted(pool.add(decoded))
        trials.append(Trial(settings, counts, time.perf_counter() - start_s))
        if not waiting:
            report("comparing settings", None)
            settings = _proposed(pool, _fewest(trials))
            if not any(_is_near(settings, trial.settings) for trial in trials):
                waiting.append(settings)
    best = _fewest(trials)
    rates = _flattered_and_held_out(pool, dev, best)
    return Search(tuple(trials), best, _surface(pool, dev, best), *rates)


def _at(settings: BeamSettings, point: Start) -> BeamSettings:
    alpha, beta, price = point
    return replace(settings, lm_weight=alpha, word_bonus=beta, unknown_word_score=price)


def _fewest(trials: Sequence[Trial]) -> Trial:
    return min(trials, key=lambda trial: trial.num_errors)


def _is_near(one: BeamSettings, other: BeamSettings) -> bool:
    return (
        abs(one.lm_weight - other.lm_weight) <= NEAR[0] + 1e-9
        and abs(one.word_bonus - other.word_bonus) <= NEAR[1] + 1e-9
        and one.unknown_word_score == other.unknown_word_score
    )


def _proposed(pool: Pool, best: Trial) -> BeamSettings:
    """The settings with the fewest errors, from the candidates."""
    wide = wide_grid(best.settings, PRICES)
    _, point = wide.lowest(pool.errors(wide.weights).sum(axis=0))
    fine = _fine_grid(*point)
    _, point = fine.lowest(pool.errors(fine.weights).sum(axis=0))
    return _at(best.settings, point)


def _surface(pool: Pool, dev: DevSet, best: Trial) -> Surface:
    grid = wide_grid(best.settings, (best.settings.unknown_word_score,), size=41)
    rates = pool.errors(grid.weights).sum(axis=0) / dev.num_words
    return Surface(grid.alphas, grid.betas, rates.reshape(grid.shape)[:, :, 0])


def _flattered_and_held_out(pool: Pool, dev: DevSet, best: Trial) -> tuple[float, float]:
    """The rate of the best settings, and the rate if nine tenths choose the settings of each tenth.

    The first rate is too low, because the same utterances chose the settings. The second shows by
    how much.
    """
    grid = wide_grid(best.settings, PRICES)
    errors = pool.errors(grid.weights)  # (U, P)
    folds = np.random.default_rng(0).permutation(len(errors)) % NUM_FOLDS
    index, _ = grid.lowest(errors.sum(axis=0))
    flattered, held_out = int(errors[:, index].sum()), 0
    for fold in range(NUM_FOLDS):
        index, _ = grid.lowest(errors[folds != fold].sum(axis=0))
        held_out += int(errors[folds == fold, index].sum())
    return flattered / dev.num_words, held_out / dev.num_words
