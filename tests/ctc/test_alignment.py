"""Forced alignment compared with all alignments and with the whole table, and at its limits."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.ctc.alignment.forced import ForcedAligner, align, num_frames_needed
from ds2.ctc.alignment.spool import SPOOL_BYTES
from ds2.ctc.alignment.viterbi import best_path, lattice_of
from ds2.ctc.hypothesis import Hypothesis
from ds2.errors import InputError
from ds2.recognition.segments import words_of
from ds2.text.alphabet import english_bigrams, letters_of
from ds2.transcripts.transcript import Transcript


def random_log_probs(num_frames: int, num_labels: int, seed: int = 0) -> np.ndarray:
    scores = 2 * np.random.default_rng(seed).standard_normal((num_frames, num_labels))
    return (scores - np.log(np.exp(scores).sum(1, keepdims=True))).astype(np.float32)


def coarse_log_probs(num_frames: int, num_labels: int, seed: int = 0) -> np.ndarray:
    """Scores with many equal values, so that most alignments tie. Some are impossible."""
    values = np.array([-0.5, -0.5, -1.0, -2.0, -np.inf])
    random = np.random.default_rng(seed)
    scores = random.choice(values, (num_frames, num_labels), p=[0.3, 0.3, 0.2, 0.15, 0.05])
    return scores.astype(np.float32)


def collapsed(sequence: tuple[int, ...]) -> list[int]:
    return [label for label, _ in itertools.groupby(sequence) if label]


def best_of_all(log_probs: np.ndarray, labels: list[int]) -> float:
    """The log-probability of the likeliest alignment, found among all sequences of labels."""
    num_frames, num_labels = log_probs.shape
    return max(
        (
            float(log_probs[np.arange(num_frames), sequence].astype(np.float64).sum())
            for sequence in itertools.product(range(num_labels), repeat=num_frames)
            if collapsed(sequence) == labels
        ),
        default=-math.inf,
    )


def frames_of(hypothesis: Hypothesis, num_frames: int) -> tuple[int, ...]:
    """The label of each frame, blanks between the tokens."""
    frames = [0] * num_frames
    for token in hypothesis.tokens:
        frames[token.start_frame : token.end_frame] = [token.label] * (
            token.end_frame - token.start_frame
        )
    return tuple(frames)


def states_by_whole_table(log_probs: np.ndarray, labels: list[int]) -> list[int]:
    """The path by the textbook: a table of all frames and states, then back from the end."""
    num_states = 2 * len(labels) + 1
    columns = [0 if state % 2 == 0 else labels[state // 2] for state in range(num_states)]

    def steps_into(state: int) -> list[int]:
        skips = state % 2 == 1 and state > 1 and columns[state] != columns[state - 2]
        return [0, *([1] if state else []), *([2] if skips else [])]

    table = np.full((len(log_probs), num_states), -np.inf)
    table[0, :2] = log_probs[0, columns[:2]]
    for frame in range(1, len(log_probs)):
        for state in range(num_states):
            best = max(table[frame - 1, state - step] for step in steps_into(state))
            table[frame, state] = best + np.float64(log_probs[frame, columns[state]])
    state = num_states - 1
    if table[-1, state - 1] > table[-1, state]:
        state -= 1
    path = [state]
    for frame in range(len(log_probs) - 2, -1, -1):
        step = max(steps_into(state), key=lambda step: table[frame, state - step])
        state -= step
        path.append(state)
    return path[::-1]


@given(
    st.integers(1, 6),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.integers(0, 10_000),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_no_alignment_is_likelier(
    num_frames: int, labels: list[int], seed: int, is_coarse: bool
) -> None:
    make = coarse_log_probs if is_coarse else random_log_probs
    log_probs = make(num_frames, 4, seed)
    expected = best_of_all(log_probs, labels)
    if expected == -math.inf:
        with pytest.raises(InputError):
            align(log_probs, labels)
        return
    hypothesis = align(log_probs, labels)
    assert hypothesis.scores.total == pytest.approx(expected, abs=1e-9)
    assert [token.label for token in hypothesis.tokens] == labels
    frames = frames_of(hypothesis, num_frames)
    assert collapsed(frames) == labels
    score = log_probs[np.arange(num_frames), frames].astype(np.float64).sum()
    assert float(score) == pytest.approx(expected, abs=1e-9)


@given(
    st.integers(1, 60),
    st.lists(st.integers(1, 4), min_size=1, max_size=30),
    st.integers(0, 10_000),
    st.integers(1, 9),
    st.integers(1, 5),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_rows_kept_here_and_there_give_the_path_of_the_whole_table(
    num_spare: int, labels: list[int], seed: int, leaf: int, num_rows: int, is_coarse: bool
) -> None:
    num_frames = num_frames_needed(labels) + num_spare - 1
    log_probs = (coarse_log_probs if is_coarse else random_log_probs)(num_frames, 5, seed)
    log_probs = np.maximum(log_probs, -50)
    path = best_path(
        lambda first, last: log_probs[first:last].copy(),
        num_frames,
        lattice_of(np.array(labels)),
        leaf_frames=leaf,
        num_rows=num_rows + 1,
    )
    assert path.states.tolist() == states_by_whole_table(log_probs, labels)
    columns = np.array([0 if s % 2 == 0 else labels[s // 2] for s in path.states.tolist()])
    assert (path.scores == log_probs[np.arange(num_frames), columns]).all()


@pytest.mark.parametrize(("num_frames", "num_labels"), [(3000, 900), (1500, 1100), (700, 2)])
def test_long_texts_give_the_path_of_the_whole_table(num_frames: int, num_labels: int) -> None:
    labels = np.random.default_rng(1).integers(1, 20, num_labels)
    log_probs = random_log_probs(num_frames, 20)

    def path_by(leaf_frames: int) -> list[int]:
        return best_path(  # type: ignore[no-any-return]
            lambda first, last: log_probs[first:last].copy(),
            num_frames,
            lattice_of(labels),
            leaf_frames=leaf_frames,
        ).states.tolist()

    assert path_by(64) == path_by(256) == path_by(num_frames + 1)  # the last keeps all rows


def test_with_as_few_frames_as_can_be_there_is_one_alignment() -> None:
    labels = [1, 1, 2, 3, 3, 3]
    log_probs = random_log_probs(num_frames_needed(labels), 4)
    hypothesis = align(log_probs, labels)
    assert frames_of(hypothesis, 9) == (1, 0, 1, 2, 3, 0, 3, 0, 3)
    with pytest.raises(InputError) as caught:
        align(log_probs[:-1], labels)
    assert str(caught.value) == (
        "the text is too long for the audio: its 6 labels need 9 frames, and there are 8: "
        "is it the text of this recording?"
    )


def test_a_token_lasts_as_long_as_its_label_and_is_as_sure_as_its_frames() -> None:
    probs = np.full((5, 3), 0.1, np.float32)
    for frame, (label, prob) in enumerate([(0, 0.8), (2, 0.5), (2, 0.6), (0, 0.7), (1, 0.9)]):
        probs[frame, label] = prob
    hypothesis = align(np.log(probs), [2, 1])
    first, second = hypothesis.tokens
    assert (first.label, first.start_frame, first.end_frame) == (2, 1, 3)
    assert first.log_prob == pytest.approx(math.log(0.6))
    assert first.confidence == pytest.approx(math.sqrt(0.5 * 0.6))
    assert (second.label, second.start_frame, second.end_frame) == (1, 4, 5)
    assert second.confidence == pytest.approx(0.9)
    assert hypothesis.scores.total == pytest.approx(math.log(0.8 * 0.5 * 0.6 * 0.7 * 0.9))
    assert hypothesis.num_stable == 2


@given(st.lists(st.integers(0, 40), max_size=4))
@settings(deadline=None, max_examples=20)
def test_any_pieces_give_what_the_whole_gives(cuts: list[int]) -> None:
    log_probs = random_log_probs(40, 5)
    with ForcedAligner([1, 2, 2, 4]) as aligner:
        for start, stop in itertools.pairwise([0, *sorted(cuts), 40]):
            aligner.feed(log_probs[start:stop])
        assert aligner.best() == [align(log_probs, [1, 2, 2, 4])]


def test_after_more_frames_it_aligns_anew() -> None:
    log_probs = random_log_probs(30, 5)
    with ForcedAligner([3, 1]) as aligner:
        aligner.feed(log_probs[:20])
        assert aligner.best() == [align(log_probs[:20], [3, 1])]
        aligner.feed(log_probs[20:])
        assert aligner.best() == [align(log_probs, [3, 1])]


def test_scores_that_do_not_fit_in_memory_go_to_a_file() -> None:
    labels = np.random.default_rng(0).permutation(2499) + 1
    num_frames = 7500
    log_probs = np.full((num_frames, 2500), -9.0, np.float32)
    assert log_probs.nbytes > SPOOL_BYTES
    said = np.zeros(num_frames, np.int64)
    said[1 : 1 + 3 * len(labels) : 3] = labels
    log_probs[np.arange(num_frames), said] = -0.1
    hypothesis = align(log_probs, labels.tolist())
    assert [token.start_frame for token in hypothesis.tokens] == list(range(1, 7498, 3))
    assert hypothesis.scores.total == pytest.approx(-0.1 * num_frames, rel=1e-6)


def test_memory_does_not_grow_with_the_table() -> None:
    num_frames, num_labels = 20_000, 5_000  # a byte for each cell would be 200 MB
    labels = np.random.default_rng(0).integers(1, 20, num_labels).tolist()
    log_probs = random_log_probs(num_frames, 20)
    align(log_probs[:100], labels[:5])  # compiling takes memory, too
    tracemalloc.start()
    align(log_probs, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_bigrams_come_back_as_words() -> None:
    alphabet = english_bigrams()
    labels = alphabet.encode("the cat sat")
    log_probs = np.full((40, len(alphabet)), -8.0, np.float32)
    said = np.zeros(40, np.int64)
    said[4 : 4 + 4 * len(labels) : 4] = labels
    log_probs[np.arange(40), said] = -0.1
    words = words_of(align(log_probs, labels).tokens, alphabet, 0.03, 1.2)
    assert [word.text for word in words] == ["the", "cat", "sat"]
    assert [(word.start_s, word.end_s) for word in words] == [
        (0.12, 0.27),
        (0.48, 0.63),
        (0.84, 0.99),
    ]


def test_words_are_parted_by_spaces_alone_where_a_language_has_them() -> None:
    for text, language in (("für äpfel öl", "de"), ("ёлка и ель", "ru"), ("हिन्दी में", "hi")):
        alphabet = letters_of([text], language)
        labels = alphabet.encode(text)
        tokens = align(random_log_probs(3 * len(labels), len(alphabet)), labels).tokens
        assert [word.text for word in words_of(tokens, alphabet, 0.03, 9.0)] == text.split()
    japanese = letters_of(["日本 ok は"], "ja")
    tokens = align(random_log_probs(30, len(japanese)), japanese.encode("日本 ok は")).tokens
    words = words_of(tokens, japanese, 0.03, 9.0)
    assert Transcript(tuple(words), 9.0, "ja").text == "日本okは"


def test_what_cannot_be_aligned_is_named() -> None:
    log_probs = random_log_probs(10, 4)
    with pytest.raises(InputError, match=r"^there is no text to align$"):
        align(log_probs, [])
    with pytest.raises(InputError, match="its 1 labels need 1 frames, and there are 0"):
        align(log_probs[:0], [1])
    log_probs[3] = -np.inf
    with pytest.raises(InputError, match=r"^every alignment of the text has a probability of 0$"):
        align(log_probs, [1])


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5])
def test_what_are_no_log_probs_is_refused(value: float) -> None:
    log_probs = random_log_probs(10, 4)
    log_probs[4, 3] = value
    with pytest.raises(InputError, match=r"^log_probs hold NaN or numbers above 0"):
        align(log_probs, [1])
    with pytest.raises(ValueError, match=r"V above 4, not \(10, 4\)"):
        align(random_log_probs(10, 4), [4])
    with pytest.raises(ValueError, match="0 is the blank"):
        align(random_log_probs(10, 4), [1, 0])
