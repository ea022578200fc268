"""Error rates: the smallest possible number of errors, and honest intervals."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.evaluation.metrics import (
    EditCounts,
    align,
    bootstrap_interval,
    character_errors,
    count_edits,
    edit_distance,
    most_confused,
    word_errors,
)

tokens = st.lists(st.sampled_from(["a", "b", "c"]), max_size=9)
sentences = st.lists(st.sampled_from(["the", "cat", "hat", "a", "'s"]), max_size=12).map(" ".join)


def fewest_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The distance, found by trying every way."""

    @cache
    def best(i: int, j: int) -> int:
        ways = [0] if i == j == 0 else []
        if i and j:
            ways.append(best(i - 1, j - 1) + (reference[i - 1] != hypothesis[j - 1]))
        if i:
            ways.append(best(i - 1, j) + 1)
        if j:
            ways.append(best(i, j - 1) + 1)
        return min(ways)

    return best(len(reference), len(hypothesis))


@settings(deadline=None)
@given(reference=tokens, hypothesis=tokens)
def test_the_alignment_has_the_fewest_errors(reference: list[str], hypothesis: list[str]) -> None:
    alignment = align(reference, hypothesis)
    assert alignment.counts.num_errors == fewest_errors(tuple(reference), tuple(hypothesis))
    assert [t.reference for t in alignment.tokens if t.edit != "insertion"] == reference
    assert [t.hypothesis for t in alignment.tokens if t.edit != "deletion"] == hypothesis
    for token in alignment.tokens:
        assert (token.reference == token.hypothesis) == (token.edit == "correct")


@settings(deadline=None)
@given(reference=tokens, hypothesis=tokens)
def test_counts_and_distance_are_those_of_the_alignment(
    reference: list[str], hypothesis: list[str]
) -> None:
    counts = align(reference, hypothesis).counts
    assert count_edits(reference, hypothesis) == counts
    assert edit_distance(reference, hypothesis) == counts.num_errors


@settings(deadline=None)
@given(reference=sentences.filter(bool), hypothesis=sentences)
def test_errors_are_those_that_jiwer_counts(reference: str, hypothesis: str) -> None:
    jiwer = pytest.importorskip("jiwer")
    for ours, theirs in (
        (word_errors(reference, hypothesis), jiwer.process_words(reference, hypothesis)),
        (character_errors(reference, hypothesis), jiwer.process_characters(reference, hypothesis)),
    ):
        assert ours == EditCounts(
            theirs.hits, theirs.substitutions, theirs.deletions, theirs.insertions
        )


def test_counts_by_hand() -> None:
    counts = word_errors("the cat sat on the mat", "so the cat sit on mat")
    assert counts == EditCounts(4, 1, 1, 1)
    assert counts.num_reference == 6
    assert counts.rate == 0.5


def test_of_alignments_with_as_few_errors_jiwers_counts() -> None:
    assert word_errors("a b", "b c") == EditCounts(0, 2, 0, 0)  # not one of each other kind


def test_mandarin_counts_characters_without_spaces() -> None:
    assert word_errors("你 好吗", "你们好", "zh") == EditCounts(2, 0, 1, 1)
    assert character_errors("你 好", "你好", "zh").num_errors == 0


def test_english_characters_count_a_space_between_words() -> None:
    assert character_errors("a b", "ab") == EditCounts(2, 0, 1, 0)
    assert character_errors(" a  b ", "a b").num_errors == 0


def test_an_empty_reference_counts_insertions() -> None:
    assert word_errors("", "").rate == 0
    assert word_errors("", "so it is") == EditCounts(num_insertions=3)
    assert word_errors("", "so it is").rate == 3


def test_counts_add_up() -> None:
    total = sum([EditCounts(4, 1, 1, 1), EditCounts(0, 0, 0, 2)], EditCounts())
    assert total == EditCounts(4, 1, 1, 3)
    assert total.rate == pytest.approx(5 / 6)


LONG_TEXTS = """
import random, resource
from ds2.evaluation.metrics import EditCounts, align

chance = random.Random(0)
words = [str(chance.randrange(9)) for _ in range(30_000)]
heard = [word for word in words if chance.random() > 0.1]
align(words[:10], heard[:10])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
counts = align(words, heard).counts
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert counts == EditCounts(len(heard), 0, len(words) - len(heard), 0), counts
print(after - before)
"""


def test_long_texts_do_not_need_a_whole_table() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LONG_TEXTS], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000  # KiB; a byte for each pair of words would be 800,000


def test_the_commonest_confusions_come_first() -> None:
    texts = [("in the end", "and the end"), ("in", "and"), ("on it", "an it")]
    alignments = [align(reference.split(), heard.split()) for reference, heard in texts]
    assert most_confused(alignments) == [("in", "and", 2), ("on", "an", 1)]
    assert most_confused(alignments, num_pairs=1) == [("in", "and", 2)]


def test_the_interval_of_equal_utterances_is_a_point() -> None:
    assert bootstrap_interval([EditCounts(3, 1, 0, 0)] * 10) == (0.25, 0.25)


def test_the_interval_is_that_of_the_normal_distribution_for_many_utterances() -> None:
    random = np.random.default_rng(0)
    wrong = random.random(2000) < 0.3
    low, high = bootstrap_interval([EditCounts(int(not w), int(w), 0, 0) for w in wrong])
    spread = 1.96 * np.sqrt(0.3 * 0.7 / 2000)
    assert low == pytest.approx(wrong.mean() - spread, abs=2e-3)
    assert high == pytest.approx(wrong.mean() + spread, abs=2e-3)


def test_the_interval_depends_on_the_seed_alone() -> None:
    counts = [EditCounts(i % 5, i % 3, i % 2, 0) for i in range(30)]
    assert bootstrap_interval(counts, seed=1) == bootstrap_interval(counts, seed=1)
    assert bootstrap_interval(counts, seed=1) != bootstrap_interval(counts, seed=2)
    narrow, wide = (bootstrap_interval(counts, confidence=c) for c in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_there_is_no_interval_without_utterances() -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])
