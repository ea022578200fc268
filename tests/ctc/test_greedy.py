"""Compare greedy decoding with a slow version, and pieces with the whole."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.hypothesis import Hypothesis, Scores


def log_probs_of(labels: list[int], num_labels: int = 4, seed: int = 0) -> np.ndarray:
    """Frames in which these labels are the likeliest."""
    scores = np.random.default_rng(seed).random((len(labels), num_labels))
    scores[np.arange(len(labels)), labels] += 2
    return (scores - np.log(np.exp(scores).sum(1, keepdims=True))).astype(np.float32)


def decoded(log_probs: np.ndarray, cuts: list[int]) -> Hypothesis:
    decoder = GreedyDecoder()
    for start, stop in itertools.pairwise([0, *cuts, len(log_probs)]):
        decoder.feed(log_probs[start:stop])
    return decoder.best()[0]


labels_lists = st.lists(st.integers(0, 3), max_size=30)


@given(labels_lists)
@settings(deadline=None)
def test_repeats_and_blanks_are_taken_out(labels: list[int]) -> None:
    expected = [label for label, _ in itertools.groupby(labels) if label]
    hypothesis = decoded(log_probs_of(labels), [])
    assert [token.label for token in hypothesis.tokens] == expected


@given(labels_lists, st.data())
@settings(deadline=None)
def test_any_pieces_give_what_the_whole_gives(labels: list[int], data: st.DataObject) -> None:
    log_probs = log_probs_of(labels)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(labels)), max_size=5)))
    assert decoded(log_probs, cuts) == decoded(log_probs, [])


@given(labels_lists, st.data())
@settings(deadline=None)
def test_a_glance_is_the_best_hypothesis(labels: list[int], data: st.DataObject) -> None:
    log_probs = log_probs_of(labels)
    decoder = GreedyDecoder()
    cut = data.draw(st.integers(0, len(labels)))
    for piece in (log_probs[:cut], log_probs[cut:]):
        decoder.feed(piece)
        seen, (best,) = decoder.glance(), decoder.best()
        assert seen.labels == [token.label for token in best.tokens]
        assert seen.start_frames == [token.start_frame for token in best.tokens]
        assert seen.end_frames == [token.end_frame for token in best.tokens]
        assert seen.num_stable == len(best.tokens)


def test_a_token_lasts_as_long_as_its_run_and_is_as_sure_as_its_best_frame() -> None:
    log_probs = log_probs_of([0, 2, 2, 2, 0, 0, 2, 1])
    first, second, third = decoded(log_probs, [2]).tokens
    assert (first.label, first.start_frame, first.end_frame) == (2, 1, 4)
    assert (second.label, second.start_frame, second.end_frame) == (2, 6, 7)
    assert (third.label, third.start_frame, third.end_frame) == (1, 7, 8)
    assert first.log_prob == pytest.approx(float(log_probs[1:4, 2].max()))


def test_the_score_is_that_of_the_alignment() -> None:
    log_probs = log_probs_of([1, 0, 3])
    assert decoded(log_probs, [1]).scores.total == pytest.approx(float(log_probs.max(1).sum()))


def test_no_frames_are_an_empty_hypothesis() -> None:
    assert decoded(np.empty((0, 4), np.float32), []) == Hypothesis((), Scores(0.0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_are_no_log_probs_is_refused(value: float) -> None:
    log_probs = log_probs_of([1, 2])
    log_probs[1] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        GreedyDecoder().feed(log_probs)
    with pytest.raises(ValueError, match="not of shape"):
        GreedyDecoder().feed(np.zeros(4, np.float32))
