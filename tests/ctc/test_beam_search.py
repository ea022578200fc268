"""Compare the beam search with all label sequences, and pieces with the whole."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aids.grams import FALLBACK, build
from ds2.ctc.alignment.forced import align
from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.hypothesis import Hypothesis
from ds2.ctc.phrases import HotPhrase
from ds2.ctc.settings import UNKNOWN_LETTERS, BeamSettings
from ds2.errors import InputError
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.model import NgramModel
from ds2.text.alphabet import Alphabet, english_characters

ENGLISH = Alphabet("characters", "en", ("a", "b", " "))
BIGRAMS = Alphabet("bigrams", "en", ("a", "b", " ", "ab"))
MANDARIN = Alphabet("characters", "zh", ("你", "好", "吗"))
OPEN = {
    "beam_width": 4000,
    "beam_threshold": 1e6,
    "label_mass": 1.0,
    "lm_weight": 0.8,
    "word_bonus": 0.7,
    "unknown_word_score": -1.5,
}
"""Without pruning, the search must be exact."""


def random_log_probs(num_frames: int, num_labels: int, seed: int, spread: float = 2) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(num_frames, num_labels)) * spread
    return (values - np.log(np.exp(values).sum(1, keepdims=True))).astype(np.float32)


def ctc_log_prob(log_probs: np.ndarray, labels: Sequence[int]) -> float:
    """ln p(labels): the sum over all alignments, by the forward algorithm in linear numbers."""
    probs = np.exp(log_probs.astype(np.float64))
    states = [0, *itertools.chain.from_iterable((label, 0) for label in labels)]
    sums = np.zeros(len(states))
    sums[:2] = probs[0, states[:2]]
    for frame in probs[1:]:
        before = sums.copy()
        for s, label in enumerate(states):
            sums[s] = before[s] + (before[s - 1] if s else 0)
            if s > 1 and label and label != states[s - 2]:
                sums[s] += before[s - 2]
            sums[s] *= frame[label]
    total = float(sums[-2:].sum())
    return math.log(total) if total else -math.inf


def words_in(text: str, alphabet: Alphabet) -> tuple[str, ...]:
    return tuple(text.split()) if alphabet.language == "en" else tuple(text)


def num_occurrences(phrase: str, text: str, alphabet: Alphabet) -> int:
    if alphabet.language == "en":
        text, phrase = f" {' '.join(text.split())} ", f" {phrase} "
    return sum(text.startswith(phrase, start) for start in range(len(text)))


def enumerated(
    log_probs: np.ndarray,
    alphabet: Alphabet,
    options: BeamSettings,
    lm: NgramModel | None = None,
    phrases: Sequence[HotPhrase] = (),
) -> dict[tuple[str, ...], tuple[float, float, float, float]]:
    """The parts of the score for every text that this number of frames can give."""
    acoustics: dict[tuple[str, ...], float] = {}
    texts: dict[tuple[str, ...], str] = {}
    for length in range(len(log_probs) + 1):
        for labels in itertools.product(range(1, len(alphabet)), repeat=length):
            log_prob = ctc_log_prob(log_probs, labels)
            if log_prob > -math.inf:
                text = alphabet.decode(labels)
                words = words_in(text, alphabet)
                acoustics[words] = np.logaddexp(acoustics.get(words, -math.inf), log_prob)
                texts[words] = text
    hot_words = {word for phrase in phrases for word in words_in(phrase.text, alphabet)}
    scores = {}
    for words, acoustic in acoustics.items():
        language = 0.0
        if lm is not None:
            scored = lm.score_sentence(words)
            language = options.lm_weight * sum(word.log_prob for word in scored)
            strange = [w.word for w in scored if not w.is_known and w.word not in hot_words]
            if strange and options.unknown_word_score is None:
                continue
            price = options.unknown_word_score or 0
            language += sum(price * max(1, len(word) / UNKNOWN_LETTERS) for word in strange)
        hot = sum(p.weight * num_occurrences(p.text, texts[words], alphabet) for p in phrases)
        scores[words] = (acoustic, language, options.word_bonus * len(words), hot)
    return scores


def text_of(hypothesis: Hypothesis, alphabet: Alphabet) -> str:
    return alphabet.decode(token.label for token in hypothesis.tokens)


def assert_equals_enumeration(
    log_probs: np.ndarray,
    alphabet: Alphabet,
    options: BeamSettings,
    lm: NgramModel | None = None,
    phrases: Sequence[HotPhrase] = (),
    *,
    acoustic: np.ndarray | None = None,
) -> None:
    """acoustic: the log_probs that count in the enumeration, if others than the search gets."""
    expected = enumerated(
        log_probs if acoustic is None else acoustic, alphabet, options, lm, phrases
    )
    found = BeamSearch(alphabet, options, lm, phrases).decode_batch([log_probs], n=10**6)[0]
    assert {words_in(text_of(h, alphabet), alphabet) for h in found} == set(expected)
    for hypothesis in found:
        scores = hypothesis.scores
        parts = (scores.acoustic, scores.lm, scores.count, scores.hot)
        words = words_in(text_of(hypothesis, alphabet), alphabet)
        assert parts == pytest.approx(expected[words], abs=1e-5)
    totals = [hypothesis.scores.total for hypothesis in found]
    assert totals == sorted(totals, reverse=True)


@pytest.fixture(scope="module")
def word_lm(tmp_path_factory: pytest.TempPathFactory) -> NgramModel:
    text = "ab a ab\na ab b a\nb b a ab\naa ab\n"
    return build(
        tmp_path_factory.mktemp("lm"), text, EstimateConfig(order=3, discount_fallback=FALLBACK)
    )


@pytest.fixture(scope="module")
def character_lm(tmp_path_factory: pytest.TempPathFactory) -> NgramModel:
    config = EstimateConfig(order=2, discount_fallback=FALLBACK)
    return build(tmp_path_factory.mktemp("lm"), "你好\n你好你\n", config, unit="character")


PHRASES = [HotPhrase("ab", 1.3), HotPhrase("ab a", 0.9), HotPhrase("bb", 2.0), HotPhrase("a", -0.4)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alphabet", [ENGLISH, BIGRAMS, MANDARIN])
def test_without_a_language_model_it_equals_enumeration(alphabet: Alphabet, seed: int) -> None:
    log_probs = random_log_probs(5, len(alphabet), seed)
    assert_equals_enumeration(log_probs, alphabet, BeamSettings(**OPEN))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("price", [-1.5, None])
@pytest.mark.parametrize("phrases", [[], PHRASES])
@pytest.mark.parametrize("alphabet", [ENGLISH, BIGRAMS])
def test_with_words_and_phrases_it_equals_enumeration(
    word_lm: NgramModel,
    alphabet: Alphabet,
    phrases: list[HotPhrase],
    price: float | None,
    seed: int,
) -> None:
    options = BeamSettings(**{**OPEN, "unknown_word_score": price})
    log_probs = random_log_probs(5, len(alphabet), seed)
    assert_equals_enumeration(log_probs, alphabet, options, word_lm, phrases)


def divided(log_probs: np.ndarray, priors: Sequence[float], weight: float) -> np.ndarray:
    """Label probabilities over the power of their priors, normalised in each frame."""
    probs = np.exp(log_probs.astype(np.float64)) / np.exp(priors) ** weight
    return np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alphabet", [ENGLISH, BIGRAMS])
def test_priors_are_divided_out_of_what_is_enumerated(
    word_lm: NgramModel, alphabet: Alphabet, seed: int
) -> None:
    log_probs = random_log_probs(5, len(alphabet), seed)
    priors = tuple(random_log_probs(1, len(alphabet), 10 + seed)[0].tolist())
    options = BeamSettings(**OPEN, prior_weight=0.4, label_priors=priors)
    acoustic = divided(log_probs, priors, 0.4)
    assert_equals_enumeration(log_probs, alphabet, options, word_lm, PHRASES, acoustic=acoustic)


def test_impossible_labels_stay_impossible_whatever_their_priors(word_lm: NgramModel) -> None:
    log_probs = random_log_probs(6, 4, 0)
    log_probs[2] = [-np.inf, 0, -np.inf, -np.inf]  # certainly an a
    log_probs[4] = -np.inf  # says nothing
    options = BeamSettings(**OPEN, prior_weight=1.0, label_priors=(-0.1, -1.0, -9.0, -4.0))
    (best,) = BeamSearch(ENGLISH, options, word_lm).decode_batch([log_probs])[0]
    assert any(t.label == 1 and t.start_frame <= 2 < t.end_frame for t in best.tokens)


def test_without_a_language_model_priors_stay(word_lm: NgramModel) -> None:
    log_probs = random_log_probs(8, 4, 0)
    plain = BeamSettings(**OPEN)
    priors = BeamSettings(**OPEN, prior_weight=0.5, label_priors=(-0.1, -3.0, -4.0, -5.0))
    for lm, is_same in ((None, True), (word_lm, False)):
        scores = [
            BeamSearch(ENGLISH, options, lm).decode_batch([log_probs])[0][0].scores
            for options in (plain, priors)
        ]
        assert (scores[0] == scores[1]) == is_same


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior_weight": 0.3}, "prior_weight: needs label priors, which `ds2 lm tune` measures"),
        ({"prior_weight": 1.5}, "prior_weight: must be from 0 to 1, not 1.5"),
        ({"label_priors": (-1.0, math.nan)}, "label_priors: must be finite"),
        ({"label_priors": (-1.0, 0.1)}, "label_priors: must be finite"),
    ],
    ids=str,
)
def test_priors_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BeamSettings(**changes)


def test_priors_of_other_labels_are_refused(word_lm: NgramModel) -> None:
    options = BeamSettings(prior_weight=0.3, label_priors=(-1.0, -2.0))
    with pytest.raises(InputError, match="label_priors: 2 numbers for 4 labels: tune again"):
        BeamSearch(ENGLISH, options, word_lm)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("price", [-1.5, None])
@pytest.mark.parametrize("phrases", [[], [HotPhrase("好吗", 2.5), HotPhrase("你好", 1.0)]])
def test_with_characters_and_phrases_it_equals_enumeration(
    character_lm: NgramModel, phrases: list[HotPhrase], price: float | None, seed: int
) -> None:
    options = BeamSettings(**{**OPEN, "unknown_word_score": price})
    log_probs = random_log_probs(5, len(MANDARIN), seed)
    assert_equals_enumeration(log_probs, MANDARIN, options, character_lm, phrases)


def decoded_in_pieces(
    search: BeamSearch, log_probs: np.ndarray, cuts: list[int], n: int
) -> list[Hypothesis]:
    decoder = search.decoder(num_hypotheses=n)
    for start, stop in itertools.pairwise([0, *cuts, len(log_probs)]):
        decoder.feed(log_probs[start:stop])
        decoder.best(2, is_final=bool(start % 2))  # a question changes nothing
    return decoder.best(n)


@given(st.data())
@settings(deadline=None, max_examples=30)
def test_any_pieces_give_exactly_what_the_whole_gives(
    word_lm: NgramModel, data: st.DataObject
) -> None:
    num_frames = data.draw(st.integers(0, 120))
    log_probs = random_log_probs(num_frames, 4, data.draw(st.integers(0, 9)), 3)
    cuts = sorted(data.draw(st.lists(st.integers(0, num_frames), max_size=8)))
    priors = BeamSettings(20, prior_weight=0.4, label_priors=(-0.2, -2.5, -3.5, -3.0))
    options = data.draw(st.sampled_from([BeamSettings(20), priors]))
    search = BeamSearch(ENGLISH, options, word_lm, PHRASES)
    for n in (1, 5):
        whole = search.decode_batch([log_probs], n=n)[0]
        assert decoded_in_pieces(search, log_probs, cuts, n) == whole


@given(st.integers(0, 1000), st.booleans(), st.sampled_from([None, -1.5]))
@settings(deadline=None, max_examples=40)
def test_a_glance_is_the_best_hypothesis(
    word_lm: NgramModel, seed: int, has_phrases: bool, price: float | None
) -> None:
    options = BeamSettings(beam_width=12, unknown_word_score=price)
    search = BeamSearch(ENGLISH, options, word_lm, PHRASES if has_phrases else ())
    decoder = search.decoder()
    for piece in np.array_split(random_log_probs(40, 4, seed, 4), 7):
        decoder.feed(piece)
        seen = decoder.glance()
        (best,) = decoder.best(is_final=False)
        assert seen.labels == [token.label for token in best.tokens]
        assert seen.start_frames == [token.start_frame for token in best.tokens]
        assert seen.end_frames == [token.end_frame for token in best.tokens]
        assert seen.num_stable == best.num_stable


@given(st.integers(0, 1000), st.integers(1, 30))
@example(422, 10)  # "ab" and "ab " are one text, with different scores of the language model
@settings(deadline=None, max_examples=40)
def test_a_few_texts_are_the_first_of_all(word_lm: NgramModel, seed: int, n: int) -> None:
    decoder = BeamSearch(ENGLISH, BeamSettings(beam_width=30), word_lm).decoder(num_hypotheses=2)
    decoder.feed(random_log_probs(20, 4, seed, 2))
    for is_final in (False, True):
        everything = decoder.best(10**6, is_final=is_final)
        totals = [hypothesis.scores.total for hypothesis in everything]
        assert totals == sorted(totals, reverse=True)
        assert decoder.best(n, is_final=is_final) == everything[:n]


@pytest.mark.parametrize("price", [None, -1.0])
def test_letters_that_share_a_bit_are_told_apart(tmp_path: Path, price: float | None) -> None:
    letters = [chr(0x400 + index) for index in range(80)]
    alphabet = Alphabet("characters", "en", (" ", *letters))
    first, second, third, strange = (letters[index] for index in (70, 73, 75, 79))
    text = f"{first}{second} {third}{first} {first}{third}\n"
    config = EstimateConfig(order=2, discount_fallback=FALLBACK)
    lm = build(tmp_path, text, config, language="en")
    for text in (first + second, first + third, second + first, first + strange):
        log_probs = np.full((2, len(alphabet)), -20.0, np.float32)
        log_probs[[0, 1], alphabet.encode(text)] = -1e-3
        search = BeamSearch(alphabet, BeamSettings(unknown_word_score=price), lm)
        found = text_of(search.decode_batch([log_probs])[0][0], alphabet)
        assert (found == text) == (price is not None or text in lm.vocabulary)


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_what_is_stable_stays(word_lm: NgramModel, seed: int) -> None:
    log_probs = random_log_probs(60, 4, seed, 9)
    decoder = BeamSearch(ENGLISH, BeamSettings(beam_width=8), word_lm).decoder()
    stable: list[int] = []
    for frame in log_probs:
        decoder.feed(frame[np.newaxis])
        for hypothesis in decoder.best(3, is_final=False):
            labels = [token.label for token in hypothesis.tokens]
            assert labels[: len(stable)] == stable
        assert hypothesis.num_stable >= len(stable)
        stable = labels[: hypothesis.num_stable]


def test_what_was_said_clearly_and_a_while_ago_is_stable() -> None:
    said = np.resize([1, 0, 2, 0, 3, 0], 90)
    log_probs = random_log_probs(90, 4, 0, 1)
    log_probs[np.arange(90), said] += 9
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    decoder = BeamSearch(ENGLISH, BeamSettings(beam_threshold=6)).decoder()
    decoder.feed(log_probs)
    (hypothesis,) = decoder.best(is_final=False)
    assert len(hypothesis.tokens) == 45
    assert hypothesis.num_stable >= 30


def test_dropping_early_what_will_not_become_the_best_gains_more_than_it_loses(
    character_lm: NgramModel,
) -> None:
    """With one hypothesis instead of two, the beam has more room."""
    gains = []
    for seed in range(60):
        log_probs = random_log_probs(70, len(MANDARIN), seed, 6)
        search = BeamSearch(MANDARIN, BeamSettings(beam_width=300), character_lm)
        (only,) = search.decode_batch([log_probs])[0]
        first, _ = search.decode_batch([log_probs], n=2)[0]
        gains.append(only.scores.total - first.scores.total)
    assert min(gains) > -0.2
    assert np.mean(gains) > 0.2


def test_what_is_on_its_way_to_a_phrase_is_not_dropped() -> None:
    """After the second character both ways look alike but for the phrase. The one that is behind,
    with what is lent to it, comes out ahead at the phrase's end."""
    probs = np.full((38, len(MANDARIN)), 1e-3)
    probs[:, 0] = 1
    for frame, label_probs in {0: {1: 0.45, 3: 0.55}, 28: {2: 1.0}, 37: {3: 1.0}}.items():
        probs[frame, 0] = 1e-3
        for label, prob in label_probs.items():
            probs[frame, label] = prob
    log_probs = np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    search = BeamSearch(MANDARIN, phrases=[HotPhrase("你好吗", 0.25)])
    assert text_of(search.decode_batch([log_probs])[0][0], MANDARIN) == "你好吗"


def test_an_hour_of_frames_needs_no_more_memory_than_its_text() -> None:
    """More prefixes come and go than fit in the memory at first."""
    search = BeamSearch(ENGLISH, BeamSettings(beam_width=30))
    decoder = search.decoder()
    for seed in range(200):
        decoder.feed(random_log_probs(100, 4, seed))
    (hypothesis,) = decoder.best()
    memory = decoder._memory
    assert len(hypothesis.tokens) > 5000
    assert len(memory.prefixes) < 4 * len(hypothesis.tokens)
    assert len(memory.marks) < 8 * len(hypothesis.tokens)


def test_times_are_those_of_a_forced_alignment(word_lm: NgramModel) -> None:
    """Except for a rare prefix that was not in the beam when its best alignment passed."""
    offsets = []
    for seed in range(20):
        log_probs = random_log_probs(60, 4, seed, 4)
        (hypothesis,) = BeamSearch(ENGLISH, None, word_lm).decode_batch([log_probs])[0]
        aligned = align(log_probs, [token.label for token in hypothesis.tokens])
        for token, expected in zip(hypothesis.tokens, aligned.tokens, strict=True):
            offsets.append(abs(token.start_frame - expected.start_frame))
            offsets.append(abs(token.end_frame - expected.end_frame))
    assert np.mean(np.array(offsets) > 1) < 0.01


def test_confidence_is_the_share_of_the_beam_that_agrees() -> None:
    log_probs = np.log(np.full((3, 4), 1e-9, np.float32))
    log_probs[0, [1, 2]] = np.log([0.7, 0.3])  # "a" or "b", then a space for sure
    log_probs[1:, 3] = 0.0
    first, second = BeamSearch(ENGLISH, BeamSettings(word_bonus=0)).decode_batch([log_probs], n=2)[
        0
    ]
    assert first.tokens[0].confidence == pytest.approx(0.7, abs=1e-4)
    assert second.tokens[0].confidence == pytest.approx(0.3, abs=1e-4)


def test_confidence_stays_what_it_was_when_the_word_was_said() -> None:
    """Long after, the whole beam has the word, but only because it dropped the rest."""
    frames = np.full((200, 4), 1e-9)
    frames[:, 0] = 1.0
    frames[0] = [0, 0.6, 0.4, 0]
    frames[1] = [0, 0, 0, 1]
    for start in range(20, 200, 6):  # more and more ways to be wrong
        frames[start] = [0, 0.55, 0.45, 0]
        frames[start + 2] = [0, 0, 0, 1]
    log_probs = np.log(np.maximum(frames, 1e-9)).astype(np.float32)
    search = BeamSearch(ENGLISH, BeamSettings(beam_width=4, word_bonus=0))
    (hypothesis,) = search.decode_batch([log_probs])[0]
    assert hypothesis.num_stable > 10
    assert hypothesis.tokens[0].confidence == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("text", ["", " ", "c", "9"])
def test_a_phrase_that_cannot_be_said_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="hot phrase"):
        BeamSearch(ENGLISH, phrases=[HotPhrase(text)])


def test_a_phrase_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(InputError, match='hot phrase "A b": stands there twice'):
        BeamSearch(ENGLISH, phrases=[HotPhrase("a b"), HotPhrase("A b")])


def test_phrases_can_be_added(word_lm: NgramModel) -> None:
    log_probs = random_log_probs(30, 4, 1)
    plain = BeamSearch(ENGLISH, None, word_lm, PHRASES[:1])
    expected = BeamSearch(ENGLISH, None, word_lm, PHRASES).decode_batch([log_probs], n=3)
    assert plain.with_phrases(PHRASES[1:]).decode_batch([log_probs], n=3) == expected
    assert plain.decode_batch([log_probs], n=3) != expected


def test_a_language_model_of_another_unit_is_refused(character_lm: NgramModel) -> None:
    with pytest.raises(InputError, match="is a model of characters, and words are needed"):
        BeamSearch(english_characters(), lm=character_lm)


def test_a_batch_gives_what_one_by_one_gives(word_lm: NgramModel) -> None:
    batch = [random_log_probs(length, 4, length) for length in (0, 1, 40, 7, 90)]
    search = BeamSearch(ENGLISH, None, word_lm)
    alone = [search.decode_batch([log_probs], n=2)[0] for log_probs in batch]
    assert search.decode_batch(batch, n=2, num_threads=3) == alone


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_are_no_log_probs_is_refused(value: float) -> None:
    log_probs = random_log_probs(3, 4, 0)
    log_probs[1, 2] = value
    decoder = BeamSearch(ENGLISH).decoder()
    with pytest.raises(ValueError, match="NaN or infinity"):
        decoder.feed(log_probs)
    with pytest.raises(ValueError, match=r"\(T, 4\)"):
        decoder.feed(random_log_probs(3, 5, 0))


def test_what_is_certain_needs_no_other_label() -> None:
    """-inf for all but one label of a frame, as from a one-hot array."""
    log_probs = np.full((6, 4), -np.inf, np.float32)
    log_probs[np.arange(6), [1, 0, 2, 2, 3, 1]] = 0
    (hypothesis,) = BeamSearch(ENGLISH).decode_batch([log_probs])[0]
    assert text_of(hypothesis, ENGLISH) == "ab a"
    assert hypothesis.scores.acoustic == pytest.approx(0)
