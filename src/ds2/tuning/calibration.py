"""Confidence: from the posterior over the beam to the probability that a word is right.

A beam overestimates its posteriors, because it sees only the hypotheses that it kept. Platt scaling
corrects this (Platt, 1999, "Probabilistic Outputs for Support Vector Machines"). It fits a straight
line on a development set: from the log-odds of the posterior to the log-odds of being right. A few
hundred words do not overfit two numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.ctc.confidence import CLIP, FARTHEST

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

NUM_BINS = 10
NUM_FOLDS = 10


@dataclass(frozen=True)
class Platt:
    """A straight line from the log-odds of the posterior to the log-odds of being right."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, posteriors: Floats) -> Floats:
        """The calibrated confidences, (N,), of (N,) posteriors."""
        log_odds = self.slope * _log_odds(posteriors) + self.offset
        return np.asarray(1 / (1 + np.exp(np.clip(-log_odds, -FARTHEST, FARTHEST))))


def _log_odds(posteriors: Floats) -> Floats:
    clipped = np.clip(posteriors, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def fit_platt(posteriors: Floats, is_right: Bools, *, ridge: float = 1.0) -> Platt:
    """Fit the line of the highest likelihood, by Newton's method.

    posteriors, is_right: (N,).
    ridge: a number of words; this weight draws the slope towards 1, and determines the slope if
        all posteriors are equal.

    Platt's targets are never 0 or 1, so there is a solution even if all words are right or wrong.
    """
    num_right = int(np.count_nonzero(is_right))
    num_wrong = len(is_right) - num_right
    targets = np.where(is_right, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))
    inputs = np.stack([_log_odds(posteriors), np.ones(len(posteriors))])  # (2, N)
    first, pull = np.array([1.0, 0.0]), np.diag([ridge, 1e-6])

    def loss(line: Floats) -> float:
        log_odds = line @ inputs
        pulled = (line - first) @ pull @ (line - first) / 2
        return float((np.logaddexp(0, log_odds) - targets * log_odds).sum() + pulled)

    line = first
    for _ in range(100):
        predicted = 1 / (1 + np.exp(-np.clip(line @ inputs, -FARTHEST, FARTHEST)))
        slopes = inputs @ (predicted - targets) + pull @ (line - first)
        curvature = (inputs * (predicted * (1 - predicted))) @ inputs.T + pull
        step = np.linalg.solve(curvature, slopes)
        while loss(line - step) > loss(line) and np.abs(step).max() > 1e-9:
            step /= 2
        line = line - step
        if np.abs(step).max() <= 1e-9:
            break
    return Platt(float(line[0]), float(line[1]))


@dataclass(frozen=True)
class Bin:
    """Words of about the same confidence."""

    num_words: int
    confidence: float  # the mean of their confidences
    share_right: float


def reliability(confidences: Floats, is_right: Bools, num_bins: int = NUM_BINS) -> list[Bin]:
    """Bins with equal numbers of words, by confidence; equal confidences share a bin."""
    if not len(confidences):
        return []
    edges = np.quantile(confidences, np.arange(1, num_bins) / num_bins, method="inverted_cdf")
    places = np.searchsorted(np.unique(edges), confidences, side="left")
    bins = []
    for place in np.unique(places):
        inside = places == place
        bins.append(
            Bin(
                int(np.count_nonzero(inside)),
                float(confidences[inside].mean()),
                float(is_right[inside].mean()),
            )
        )
    return bins


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """The mean distance of confidence and truth (Naeini et al., 2015); 0 without words."""
    total = sum(item.num_words for item in bins)
    distances = (item.num_words * abs(item.confidence - item.share_right) for item in bins)
    return sum(distances) / max(1, total)


def normalised_cross_entropy(confidences: Floats, is_right: Bools) -> float:
    """The information in the confidences, from below 0 to 1 (NIST's measure).

    It is 0 if all words have the same confidence, the share of right words. Such confidences are
    perfectly calibrated and useless, and the calibration error does not show that. It is NaN if
    all words are right or all are wrong.
    """
    share = float(is_right.mean()) if len(is_right) else 0.0
    if share in (0.0, 1.0):
        return math.nan
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    return 1 - _loss(confidences, is_right) / entropy


@dataclass(frozen=True)
class Judgement:
    """The quality of some confidences."""

    bins: list[Bin]
    error: float  # expected calibration error
    cross_entropy: float  # normalised
    loss: float  # mean negative log-likelihood of the truth, in nats; 0 without words


def judge(confidences: Floats, is_right: Bools) -> Judgement:
    """Measure the quality of (N,) confidences."""
    bins = reliability(confidences, is_right)
    return Judgement(
        bins,
        expected_calibration_error(bins),
        normalised_cross_entropy(confidences, is_right),
        _loss(confidences, is_right),
    )


def _loss(confidences: Floats, is_right: Bools) -> float:
    if not len(confidences):
        return 0.0
    clipped = np.clip(confidences, CLIP, 1 - CLIP)
    return -float(np.where(is_right, np.log(clipped), np.log1p(-clipped)).mean())


@dataclass(frozen=True)
class Calibration:
    """A fitted line, and the quality of the confidences without it and with it."""

    platt: Platt
    before: Judgement  # of the posteriors themselves
    after: Judgement  # each utterance with a line fitted on other utterances

    @property
    def helps(self) -> bool:
        """Whether lines that are fitted on other utterances improve the confidences."""
        return self.after.loss < self.before.loss

    @property
    def kept(self) -> Platt:
        """The line if it helps; otherwise the line that changes nothing."""
        return self.platt if self.helps else Platt()


def calibrate(
    posteriors: Sequence[Sequence[float]], is_right: Sequence[Sequence[bool]], seed: int = 0
) -> Calibration:
    """Fit a line to the words of a development set, and judge it by cross-validation.

    posteriors, is_right: for each utterance, for each word. All words of an utterance stay in one
    fold, because they depend on each other.
    """
    owners = np.repeat(np.arange(len(posteriors)), [len(words) for words in posteriors])
    values = np.array([value for words in posteriors for value in words], np.float64)
    right = np.array([value for words in is_right for value in words], np.bool_)
    folds = np.random.default_rng(seed).permutation(len(posteriors)) % NUM_FOLDS
    held_out = values.copy()
    for fold in range(NUM_FOLDS):
        inside = folds[owners] == fold
        held_out[inside] = fit_platt(values[~inside], right[~inside]).apply(values[inside])
    return Calibration(fit_platt(values, right), judge(values, right), judge(held_out, right))
