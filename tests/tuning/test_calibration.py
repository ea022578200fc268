"""Confidence: fitted lines and the truth, calibration error by hand, extreme cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.ctc.confidence import CLIP, calibrated
from ds2.tuning.calibration import (
    Platt,
    calibrate,
    expected_calibration_error,
    fit_platt,
    normalised_cross_entropy,
    reliability,
)

PROBABILITIES = st.floats(0, 1)
NUMBERS = st.floats(-1e3, 1e3)


def words_of(slope: float, offset: float, num_words: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors, and words that are right with the probability of the line."""
    random = np.random.default_rng(0)
    posteriors = random.beta(2, 0.7, num_words)
    chances = Platt(slope, offset).apply(posteriors)
    return posteriors, random.random(num_words) < chances


@settings(deadline=None)
@given(PROBABILITIES, NUMBERS, NUMBERS)
def test_a_confidence_is_a_probability_whatever_the_line(
    posterior: float, slope: float, offset: float
) -> None:
    confidence = calibrated(posterior, slope, offset)
    assert 0 <= confidence <= 1
    assert Platt(slope, offset).apply(np.array([posterior]))[0] == pytest.approx(confidence)


@settings(deadline=None)
@given(st.floats(CLIP, 1 - CLIP))
def test_slope_one_and_offset_zero_change_nothing(posterior: float) -> None:
    assert calibrated(posterior, 1, 0) == pytest.approx(posterior)


def test_certainty_is_clipped() -> None:
    assert calibrated(1.0, 1, 0) == pytest.approx(1 - CLIP)
    assert calibrated(0.0, 1, 0) == pytest.approx(CLIP)
    assert calibrated(0.5, 3, math.log(3)) == pytest.approx(0.75)


@pytest.mark.parametrize(("slope", "offset"), [(0.4, -1.0), (1.0, 0.0), (1.7, 0.8)])
def test_the_line_that_made_the_words_is_found(slope: float, offset: float) -> None:
    platt = fit_platt(*words_of(slope, offset))
    assert platt.slope == pytest.approx(slope, abs=0.12)
    assert platt.offset == pytest.approx(offset, abs=0.15)


def test_the_fit_is_where_the_likelihood_is_flat() -> None:
    posteriors, is_right = words_of(0.5, -0.5, 200)
    platt = fit_platt(posteriors, is_right, ridge=0)
    right, wrong = is_right.sum(), (~is_right).sum()
    targets = np.where(is_right, (right + 1) / (right + 2), 1 / (wrong + 2))
    residuals = platt.apply(posteriors) - targets
    assert residuals.sum() == pytest.approx(0, abs=1e-3)
    assert (residuals * np.log(posteriors / (1 - posteriors))).sum() == pytest.approx(0, abs=1e-3)


def test_words_that_teach_little_give_a_sane_line() -> None:
    assert fit_platt(np.zeros(0), np.zeros(0, bool)) == Platt(1, 0)
    all_right = fit_platt(np.full(50, 0.7), np.ones(50, bool))
    assert 0.95 < all_right.apply(np.array([0.7]))[0] < 1
    all_wrong = fit_platt(np.ones(50), np.zeros(50, bool))
    assert 0 < all_wrong.apply(np.array([1.0]))[0] < 0.05
    apart = fit_platt(np.repeat([0.2, 0.8], 20), np.repeat([False, True], 20))
    assert np.isfinite([apart.slope, apart.offset]).all()


def test_calibration_error_by_hand() -> None:
    confidences = np.array([0.1] * 10 + [0.9] * 10)
    is_right = np.array([True] * 3 + [False] * 7 + [True] * 8 + [False] * 2)
    bins = reliability(confidences, is_right, num_bins=2)
    assert [item.num_words for item in bins] == [10, 10]
    assert [item.share_right for item in bins] == pytest.approx([0.3, 0.8])
    assert expected_calibration_error(bins) == pytest.approx(0.5 * 0.2 + 0.5 * 0.1)


@settings(deadline=None)
@given(st.lists(st.tuples(PROBABILITIES, st.booleans()), max_size=60))
def test_bins_part_the_words_and_never_split_a_confidence(words: list[tuple[float, bool]]) -> None:
    confidences = np.array([confidence for confidence, _ in words])
    bins = reliability(confidences, np.array([right for _, right in words], bool))
    assert sum(item.num_words for item in bins) == len(words)
    assert len(bins) <= min(10, len(np.unique(confidences)))
    assert [item.confidence for item in bins] == sorted(item.confidence for item in bins)
    assert 0 <= expected_calibration_error(bins) <= 1


def test_equal_numbers_of_words_are_in_the_bins() -> None:
    random = np.random.default_rng(0)
    bins = reliability(random.random(1000), np.ones(1000, bool))
    assert [item.num_words for item in bins] == [100] * 10


def test_cross_entropy_tells_useful_confidences_from_useless_ones() -> None:
    is_right = np.array([True, True, True, False])
    assert normalised_cross_entropy(np.full(4, 0.75), is_right) == pytest.approx(0)
    assert normalised_cross_entropy(is_right.astype(float), is_right) > 0.99
    assert normalised_cross_entropy(1 - is_right.astype(float), is_right) < 0
    assert math.isnan(normalised_cross_entropy(np.ones(2), np.ones(2, bool)))


def test_calibrating_overconfident_words_makes_them_honest() -> None:
    posteriors, is_right = words_of(0.5, -1.0)
    words = [posteriors[i : i + 8].tolist() for i in range(0, 4000, 8)]
    right = [is_right[i : i + 8].tolist() for i in range(0, 4000, 8)]
    calibration = calibrate(words, right)
    assert calibration.platt == fit_platt(posteriors, is_right)
    assert calibration.before.error > 0.1
    assert calibration.after.error < 0.03
    assert calibration.after.cross_entropy > calibration.before.cross_entropy
    assert calibrate(words, right) == calibration


def test_an_utterance_is_judged_by_the_others() -> None:
    """If only chance makes words right, calibration does not help, even for few utterances."""
    random = np.random.default_rng(1)
    words = [random.random(3).tolist() for _ in range(10)]
    right = [(random.random(3) < 0.5).tolist() for _ in range(10)]
    assert calibrate(words, right).after.cross_entropy < 0


def test_a_line_is_kept_only_if_it_helps_on_other_utterances() -> None:
    posteriors, is_right = words_of(0.4, -1.0)
    useful = calibrate(posteriors.reshape(-1, 8).tolist(), is_right.reshape(-1, 8).tolist())
    assert useful.helps
    assert useful.kept == useful.platt != Platt()
    # A line that fits two of the utterances is wrong for the third.
    few = calibrate([[0.9, 0.8], [0.9, 0.8], [0.2, 0.3]], [[True, True], [False] * 2, [True, True]])
    assert few.after.loss > few.before.loss
    assert not few.helps
    assert few.kept == Platt()
    nothing = calibrate([[]], [[]])
    assert nothing.kept == Platt()
