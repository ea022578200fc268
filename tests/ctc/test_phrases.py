"""Hot phrases and vocabularies as tables: their scores, their costs, their limits."""

import itertools
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aids.grams import FALLBACK, build
from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.phrases import (
    HOTTEST,
    LONGEST_PHRASE,
    MOST_LETTERS,
    MOST_PHRASES,
    PhraseTables,
    phrase_tables,
)
from ds2.ctc.search.vocabulary import NO_WORD, vocabulary_of
from ds2.errors import InputError
from ds2.ngram.estimate import EstimateConfig
from ds2.text.alphabet import english_characters

MANY_LETTERS = [chr(0x4E00 + number) for number in range(4000)]
MB = 1 << 20


def next_state(tables: PhraseTables, state: int, letter: str) -> int:
    """The state after a letter: the longest end of the text that continues with it."""
    wanted = tables.classes.get(letter, 0)
    while wanted:
        for child in range(tables.first_child[state], tables.first_child[state + 1]):
            if tables.letters[child] == wanted:
                return child
        if state == 0:
            break
        state = int(tables.shorter[state])
    return 0


def lent(text: str, weights: Mapping[str, float]) -> float:
    """The largest share of any phrase whose beginning is the end of the text."""
    shares = [0.0]
    for phrase, weight in weights.items():
        shares += [
            weight * length / len(phrase)
            for length in range(1, len(phrase))
            if text.endswith(phrase[:length])
        ]
    return max(shares)


WEIGHTS = st.dictionaries(
    st.text("abc", min_size=1, max_size=5), st.floats(-9, 9), min_size=1, max_size=8
)


@given(WEIGHTS, st.text("abcd", max_size=12))
def test_every_text_earns_its_phrases_and_borrows_for_what_is_under_way(
    weights: Mapping[str, float], text: str
) -> None:
    tables = phrase_tables(weights, of_words=False)
    state, earned = tables.first_state, 0.0
    for length, letter in enumerate(text, 1):
        state = next_state(tables, state, letter)
        earned += tables.rewards[state]
        assert tables.loans[state] == pytest.approx(lent(text[:length], weights))
    counts = {
        phrase: sum(text.startswith(phrase, start) for start in range(len(text)))
        for phrase in weights
    }
    assert earned == pytest.approx(sum(weights[each] * count for each, count in counts.items()))


@given(WEIGHTS)
def test_no_letter_adds_more_than_the_most(weights: Mapping[str, float]) -> None:
    tables = phrase_tables(weights, of_words=False)
    gains = [
        tables.rewards[then] + tables.loans[then] - tables.loans[state]
        for state, letter in itertools.product(range(len(tables.letters)), "abcd")
        for then in [next_state(tables, state, letter)]
    ]
    assert tables.max_gain == pytest.approx(max(0.0, *gains))


def test_many_phrases_of_many_letters_need_little_memory() -> None:
    letters = np.random.default_rng(0).choice(MANY_LETTERS, (1000, 40))
    weights = {"".join(row): 5.0 for row in letters.tolist()}  # 120 kB
    tracemalloc.start()
    tables = phrase_tables(weights, of_words=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(tables.letters) > 30_000
    assert peak < 30 * MB


@pytest.mark.parametrize(
    ("phrases", "told"),
    [
        (["a" * (LONGEST_PHRASE + 1)], "longer than 100 letters"),
        (["a. " * 2000], "longer than 100 letters"),
        (["a"] * (MOST_PHRASES + 1), "5000 is the most"),
        ([("a", HOTTEST + 1)], "weight: must be from -100 to 100"),
        ([("a", 1.7e308)], "weight: must be from -100 to 100"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(phrases: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        BeamSearch(english_characters(), phrases=phrases)


def test_all_phrases_together_have_a_limit() -> None:
    words = ["".join(letters) for letters in itertools.product("abcdefgh", repeat=4)]
    phrases = [f"{word}{'a' * 96}" for word in words[: MOST_LETTERS // 100 + 1]]
    BeamSearch(english_characters(), phrases=phrases[:-1])
    with pytest.raises(InputError, match="100000 is the most"):
        BeamSearch(english_characters(), phrases=phrases)


def test_a_strange_word_leaves_the_vocabulary_as_it_is(tmp_path: Path) -> None:
    config = EstimateConfig(order=2, discount_fallback=FALLBACK)
    lm = build(tmp_path, "ab a ab\nba b a\n", config)
    alphabet = english_characters()
    search = BeamSearch(alphabet, lm=lm)
    other = search.with_phrases(["abba", "zebra"])
    assert other._scoring.known is search._scoring.known
    strange = other._scoring.strange
    assert len(strange.letters) == len("abba") + len("zebra") + 1
    on_its_way = strange.known >= 0  # "", "a", "ab": the vocabulary has these, too
    assert on_its_way.sum() == 3
    assert (strange.words != NO_WORD).sum() == 4  # "a", "ab", "abba", "zebra"


def test_a_word_without_end_needs_no_more_memory_than_its_letters() -> None:
    rng = np.random.default_rng(0)
    words = sorted({"".join(rng.choice([*"abcdefgh"], 6)) for _ in range(5000)})
    words.append("a" * 5000)
    letters = {letter: number for number, letter in enumerate("abcdefgh", 1)}
    ids = np.arange(len(words), dtype=np.int32)
    log_probs = -rng.random(len(words)).astype(np.float32)
    tracemalloc.start()
    vocabulary = vocabulary_of(words, ids, log_probs, letters)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MB
    for index in (0, 17, len(words) - 1):
        node = 0
        for letter in words[index]:
            assert vocabulary.bounds[node] >= log_probs[index]
            children = range(vocabulary.first_child[node], vocabulary.first_child[node + 1])
            (node,) = (each for each in children if vocabulary.letters[each] == letters[letter])
        assert vocabulary.words[node] == index
    assert vocabulary.bounds[0] == log_probs.max()
