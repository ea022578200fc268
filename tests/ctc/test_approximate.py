"""Alignment of texts that differ from the speech, compared with the sum of all its parts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.ctc.alignment import approximate
from ds2.ctc.alignment.approximate import ApproximateAligner, Approximation, Tolerance
from ds2.ctc.alignment.forced import align
from ds2.errors import InputError

EXACT = Tolerance(1.0, 1.0, math.inf)


def random_log_probs(num_frames: int, num_labels: int, seed: int) -> np.ndarray:
    scores = 2 * np.random.default_rng(seed).standard_normal((num_frames, num_labels))
    return (scores - np.log(np.exp(scores).sum(1, keepdims=True))).astype(np.float32)


def aligned(log_probs: np.ndarray, units: list[list[int]], tolerance: Tolerance) -> Approximation:
    with ApproximateAligner(units, tolerance) as aligner:
        aligner.feed(log_probs)
        return aligner.best()


def spelt(text: str, log_prob: float = -0.01) -> np.ndarray:
    """log_probs (T, 27) that give one character of the text in each frame; a dot is a blank."""
    rest = math.log((1 - math.exp(log_prob)) / 26)
    scores = np.full((len(text), 27), rest, np.float32)
    for frame, character in enumerate(text):
        scores[frame, 0 if character == "." else ord(character) - 96] = log_prob
    return scores


def units_of(text: str) -> list[list[int]]:
    return [[ord(character) - 96 for character in word] for word in text.split()]


def best_score(log_probs: np.ndarray, units: list[list[int]], tolerance: Tolerance) -> float:
    """The score of the best alignment by the rules, state by state and frame by frame."""
    labels = [label for unit in units for label in unit]
    ends = np.cumsum([0, *map(len, units)]).tolist()
    following = dict(itertools.pairwise(ends))
    scores = {(0, "blank"): 0.0}

    def leave_out(scores: dict[tuple[int, str], float]) -> None:
        for start in ends[:-1]:
            if (start, "blank") in scores:
                end = (following[start], "blank")
                price = tolerance.missing_text * (following[start] - start)
                scores[end] = max(scores.get(end, -math.inf), scores[start, "blank"] - price)

    leave_out(scores)
    silence = np.zeros((1, log_probs.shape[1]), np.float32)
    for row in np.concatenate([log_probs, silence]).astype(np.float64):
        new: dict[tuple[int, str], float] = {}
        for (index, kind), score in scores.items():
            last = index if kind == "blank" else index + 1
            blank = row[0]
            if last in ends:
                blank = max(blank, row[1:].max() - tolerance.extra_speech)
            moves = [((last, "blank"), blank)]
            if kind == "label":
                moves.append(((index, "label"), row[labels[index]]))
            if last < len(labels) and (kind == "blank" or labels[last] != labels[index]):
                moves.append(((last, "label"), row[labels[last]]))
            for state, gain in moves:
                new[state] = max(new.get(state, -math.inf), score + gain)
        leave_out(new)
        scores = new
    return scores[len(labels), "blank"]


def score_of(
    found: Approximation, log_probs: np.ndarray, units: list[list[int]], tolerance: Tolerance
) -> float:
    """The cost of an alignment, computed from its own result."""
    owner: list[tuple[int, int] | None] = [None] * len(log_probs)  # label, and its place
    missing = sum(len(u) for u, tokens in zip(units, found.tokens, strict=True) if not tokens)
    for unit, tokens in enumerate(found.tokens):
        assert [token.label for token in tokens] in ([], units[unit])
        for place, token in enumerate(tokens):
            for frame in range(token.start_frame, token.end_frame):
                owner[frame] = (token.label, place)
    score = -tolerance.missing_text * missing
    inside: set[int] = set()  # blanks within a unit, where there can be no other speech
    for tokens in found.tokens:
        for before, after in itertools.pairwise(tokens):
            inside.update(range(before.end_frame, after.start_frame))
    for frame, row in enumerate(log_probs.astype(np.float64)):
        label = owner[frame]
        if label:
            score += row[label[0]]
        elif frame in inside:
            score += row[0]
        else:
            score += max(row[0], row[1:].max() - tolerance.extra_speech)
    return score


cases = st.tuples(
    st.integers(1, 14),
    st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=6),
    st.floats(0.1, 3),
    st.floats(0.1, 3),
    st.integers(0, 10**6),
)


@settings(deadline=None, max_examples=200)
@given(cases)
def test_the_alignment_found_is_the_best_of_all(
    case: tuple[int, list[list[int]], float, float, int],
) -> None:
    num_frames, units, extra_speech, missing_text, seed = case
    tolerance = Tolerance(extra_speech, missing_text, math.inf)
    log_probs = random_log_probs(num_frames, 4, seed)
    found = aligned(log_probs, units, tolerance)
    best = best_score(log_probs, units, tolerance)
    assert score_of(found, log_probs, units, tolerance) == pytest.approx(best, abs=1e-5)


@settings(deadline=None, max_examples=50)
@given(cases, st.integers(1, 5))
def test_memory_does_not_change_the_alignment(
    case: tuple[int, list[list[int]], float, float, int], piece: int
) -> None:
    num_frames, units, extra_speech, missing_text, seed = case
    tolerance = Tolerance(extra_speech, missing_text, math.inf)
    log_probs = random_log_probs(num_frames, 4, seed)
    whole = aligned(log_probs, units, tolerance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate, "READ_FRAMES", piece)
        patch.setattr(approximate, "STRETCH_CELLS", 4)
        assert aligned(log_probs, units, tolerance) == whole


def test_a_text_that_is_right_aligns_as_when_it_is_forced() -> None:
    log_probs = spelt("..a.bb..c.d..e.")
    found = aligned(log_probs, units_of("ab c de"), Tolerance())
    tokens = [token for unit in found.tokens for token in unit]
    forced = align(log_probs, [1, 2, 3, 4, 5]).tokens
    assert [(t.label, t.start_frame, t.end_frame) for t in tokens] == [
        (t.label, t.start_frame, t.end_frame) for t in forced
    ]
    assert found.extra == ()
    assert sum(found.log_probs) == pytest.approx(13 * -0.01, abs=1e-4)  # from the first word on


def test_text_that_was_not_said_is_left_out() -> None:
    found = aligned(spelt(".a.b...g.h."), units_of("ab cdef gh"), Tolerance())
    assert [bool(tokens) for tokens in found.tokens] == [True, False, True]
    assert found.extra == ()


def test_speech_that_the_text_lacks_is_found() -> None:
    found = aligned(spelt(".a.b...c.d.e.f....g.h."), units_of("ab gh"), Tolerance())
    assert all(found.tokens)
    ((start, end, num_labels, next_unit),) = found.extra
    assert (start, end, num_labels, next_unit) == (7, 14, 4, 1)


def test_a_changed_word_is_both() -> None:
    found = aligned(spelt(".a.b...c.d.e.f....g.h."), units_of("ab uvwxyz gh"), Tolerance())
    assert [bool(tokens) for tokens in found.tokens] == [True, False, True]
    ((start, end, num_labels, _),) = found.extra
    assert (start, end, num_labels) == (7, 14, 4)


def test_text_and_speech_at_the_ends_may_be_missing() -> None:
    found = aligned(spelt("x.y.z.a.b.c.d."), units_of("pq rs ab"), Tolerance())
    assert [bool(tokens) for tokens in found.tokens] == [False, False, True]
    assert [stretch.start_frame for stretch in found.extra] == [0, 10]


def test_nothing_said_leaves_all_of_the_text_out() -> None:
    found = aligned(spelt("......"), units_of("ab cd"), Tolerance())
    assert found.tokens == ((), ())
    empty = aligned(np.empty((0, 27), np.float32), units_of("ab cd"), Tolerance())
    assert empty.tokens == ((), ())


def test_a_beam_that_is_wide_enough_finds_the_same() -> None:
    rng = np.random.default_rng(0)
    words = [
        "".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(2, 8))) for _ in range(300)
    ]
    said = [word for word in words if rng.random() > 0.05]
    heard = "..".join(".".join(word) for word in said)
    log_probs = spelt(heard, math.log(0.6))
    units = units_of(" ".join(words))
    exact = aligned(log_probs, units, Tolerance(beam=math.inf))
    assert aligned(log_probs, units, Tolerance(beam=200.0)) == exact
    assert sum(map(bool, exact.tokens)) == len(said)


def test_what_is_no_text_or_no_score_is_refused() -> None:
    with pytest.raises(InputError, match="no text"):
        ApproximateAligner([], EXACT)
    with pytest.raises(ValueError, match="a unit has labels"):
        ApproximateAligner([[1], []], EXACT)
    with pytest.raises(ValueError, match="a unit has labels"):
        ApproximateAligner([[0]], EXACT)
    with ApproximateAligner([[1]], EXACT) as aligner, pytest.raises(InputError, match="NaN"):
        aligner.feed(np.full((3, 4), np.nan, np.float32))
    with pytest.raises(InputError, match="probability of 0"):
        aligned(np.full((3, 4), -np.inf, np.float32), [[1]], EXACT)


@pytest.mark.parametrize("name", ["extra_speech", "missing_text", "beam"])
def test_a_tolerance_that_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Tolerance(**{name: 0.0})
