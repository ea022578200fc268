"""Check on our decoder the behaviour that users of other CTC decoders rely on.

The behaviours are those that the suites of pyctcdecode, torchaudio, flashlight, ctcdecode, wenet
and PaddleSpeech check; docs/how-to/coming-from-other-decoders.md says which hold and which do not.
The tests compute scores of texts by enumeration and by the definition of back-off models.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aids.grams import Gram, backed_off
from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.hypothesis import BLANK, Hypothesis
from ds2.ctc.phrases import HotPhrase
from ds2.ctc.settings import UNKNOWN_LETTERS, BeamSettings
from ds2.errors import InputError
from ds2.ngram.model import NgramModel
from ds2.recognition.segments import words_of
from ds2.text.alphabet import Alphabet

TEA = Alphabet("characters", "en", (" ", "a", "e", "n", "t"))
AT = Alphabet("characters", "en", (" ", "a", "t"))
PAIRS = Alphabet("bigrams", "en", ("a", "t", " ", "at", "ta"))
ZH = Alphabet("characters", "zh", (" ", "茶", "水"))

WIDE = BeamSettings(
    beam_width=3000, beam_threshold=1e6, label_mass=1.0, lm_weight=0.8, word_bonus=0.3
)
"""A beam so wide that these tests prune nothing."""
BARE = replace(WIDE, lm_weight=0.0, word_bonus=0.0, unknown_word_score=0.0)
"""Settings with acoustics alone."""

GRAMS: Mapping[Gram, tuple[float, float]] = {
    ("<unk>",): (-2.0, 0.0),
    ("<s>",): (-99.0, -0.4),
    ("</s>",): (-0.9, 0.0),
    ("a",): (-0.9, -0.1),
    ("at",): (-1.1, -0.2),
    ("tea",): (-0.6, -0.3),
    ("ten",): (-0.8, -0.25),
    ("<s>", "ten"): (-0.2, -0.15),
    ("<s>", "at"): (-0.5, -0.05),
    ("at", "a"): (-0.3, -0.1),
    ("ten", "tea"): (-0.1, -0.2),
    ("tea", "</s>"): (-0.15, 0.0),
    ("<s>", "ten", "tea"): (-0.05, 0.0),
    ("at", "a", "</s>"): (-0.2, 0.0),
}
"""A language model: n-grams with log10 probabilities and back-off weights."""


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> NgramModel:
    return model_of(GRAMS, tmp_path_factory.mktemp("lm") / "tea.arpa")


def model_of(grams: Mapping[Gram, tuple[float, float]], path: Path) -> NgramModel:
    """A language model with exactly these n-grams, by way of an ARPA file."""
    orders = range(1, 1 + max(map(len, grams)))
    levels = [{gram: grams[gram] for gram in grams if len(gram) == order} for order in orders]
    counts = "".join(f"ngram {order}={len(levels[order - 1])}\n" for order in orders)
    lines = [f"\\data\\\n{counts}"]
    for order, level in zip(orders, levels, strict=True):
        last = "" if order < max(orders) else None  # the highest order has no back-off weights
        lines.append(f"\n\\{order}-grams:\n")
        for gram, (log10_prob, weight) in level.items():
            end = "\n" if last is None else f"\t{weight}\n"
            lines.append(f"{log10_prob}\t{' '.join(gram)}{end}")
    path.write_text("".join([*lines, "\n\\end\\\n"]))
    return NgramModel.load(path, unit="word")


def heard(*pieces: str | Mapping[str, float], alphabet: Alphabet = TEA) -> NDArray[np.float32]:
    """log_probs: a frame for each letter of a string ("-" is the blank) and for each mixture."""
    symbols = ["-", *alphabet.symbols]
    frames: list[Mapping[str, float]] = []
    for piece in pieces:
        frames += [{letter: 1.0} for letter in piece] if isinstance(piece, str) else [piece]
    probs = np.full((len(frames), len(symbols)), 1e-7)
    for row, frame in zip(probs, frames, strict=True):
        for symbol, prob in frame.items():
            row[symbols.index(symbol)] += prob
    return np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


def noise(num_frames: int, alphabet: Alphabet, seed: int, spread: float = 2.0) -> NDArray:
    """Random normalised log_probs."""
    logits = np.random.default_rng(seed).normal(0, spread, (num_frames, len(alphabet)))
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def text_of(hypothesis: Hypothesis, alphabet: Alphabet) -> str:
    return spaced(alphabet.decode(token.label for token in hypothesis.tokens), alphabet)


def spaced(text: str, alphabet: Alphabet) -> str:
    """The text with the spaces that make a difference: between English words, one each."""
    return (" " if alphabet.word_unit == "word" else "").join(text.split())


def decoded(
    log_probs: NDArray[np.float32], search: BeamSearch, alphabet: Alphabet = TEA, n: int = 1
) -> list[str]:
    return [text_of(hypothesis, alphabet) for hypothesis in best(log_probs, search, n)]


def best(log_probs: NDArray[np.float32], search: BeamSearch, n: int = 1) -> list[Hypothesis]:
    decoder = search.decoder(num_hypotheses=n)
    decoder.feed(log_probs)
    return decoder.best(n)


def log_likelihoods(log_probs: NDArray[np.float32], alphabet: Alphabet) -> dict[str, float]:
    """Every text that these frames can be, with ln p, by enumerating all alignments."""
    sums: dict[str, float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        labels = [label for label, _ in itertools.groupby(path) if label != BLANK]
        text = spaced(alphabet.decode(labels), alphabet)
        value = sum(float(log_probs[frame, label]) for frame, label in enumerate(path))
        sums[text] = np.logaddexp(sums.get(text, -np.inf), value)
    return {text: float(value) for text, value in sums.items()}


def lm_score(text: str, settings: BeamSettings, grams: Mapping = GRAMS) -> float:
    """The language model's score of a text, by the definition of back-off models."""
    order = max(map(len, grams))
    known = [word if (word,) in grams else "<unk>" for word in text.split()]
    sentence = ["<s>", *known, "</s>"]
    total = 0.0
    for place in range(1, len(sentence)):
        context = tuple(sentence[max(0, place + 1 - order) : place])
        total += math.log(10) * backed_off(dict(grams), context, sentence[place])
    strange = [word for word in text.split() if (word,) not in grams]
    price = settings.unknown_word_score or 0.0
    return settings.lm_weight * total + price * sum(map(num_prices, strange))


def num_prices(word: str) -> float:
    """The number of prices for an unknown word; longer words pay more."""
    return max(1.0, len(word) / UNKNOWN_LETTERS)


def occurrences(phrase: str, text: str) -> int:
    padded, wanted = f" {text} ", f" {phrase} "
    return sum(padded.startswith(wanted, place) for place in range(len(padded)))


def cut(log_probs: NDArray[np.float32], cuts: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(log_probs)]):
        yield log_probs[start:stop]


TEN_OR_TEA = heard("te", {"a": 0.51, "n": 0.49}, " tea")
"""The first word is a little likelier to be tea; a language model or hot phrases can decide."""


# Merging, order, pruning


@pytest.mark.parametrize("alphabet", [AT, PAIRS, ZH], ids=["characters", "bigrams", "mandarin"])
@pytest.mark.parametrize("seed", range(3))
def test_a_text_has_the_summed_probability_of_all_its_alignments(
    alphabet: Alphabet, seed: int
) -> None:
    log_probs = noise(4, alphabet, seed)
    expected = log_likelihoods(log_probs, alphabet)
    hypotheses = best(log_probs, BeamSearch(alphabet, BARE), 10_000)
    found = {text_of(found, alphabet): found.scores.acoustic for found in hypotheses}
    assert found == pytest.approx(expected, abs=1e-4)


def test_hypotheses_come_best_first_and_every_text_once() -> None:
    log_probs = noise(5, AT, seed=7)
    hypotheses = best(log_probs, BeamSearch(AT, BARE), 10_000)
    totals = [hypothesis.scores.total for hypothesis in hypotheses]
    texts = [text_of(hypothesis, AT) for hypothesis in hypotheses]
    assert totals == sorted(totals, reverse=True)
    assert len(set(texts)) == len(texts)


def test_the_n_best_are_the_first_of_all_and_may_be_fewer_than_asked_for() -> None:
    log_probs = noise(4, AT, seed=1)
    search = BeamSearch(AT, BARE)
    every = best(log_probs, search, 10_000)
    assert best(log_probs, search, 3) == every[:3]
    assert len(every) == len(log_likelihoods(log_probs, AT))


def test_independent_doubts_give_every_combination() -> None:
    doubt = {"a": 0.6, "n": 0.4}
    log_probs = heard("te", doubt, " te", doubt, " te", doubt)
    texts = decoded(log_probs, BeamSearch(TEA, BARE), n=8)
    expected = [" ".join(words) for words in itertools.product(("tea", "ten"), repeat=3)]
    assert set(texts) == set(expected)
    assert (texts[0], texts[-1]) == ("tea tea tea", "ten ten ten")


def test_spaces_at_the_ends_and_twice_make_no_other_text() -> None:
    log_probs = heard(" -te-a - tea- ")
    (hypothesis,) = best(log_probs, BeamSearch(TEA, WIDE))
    assert text_of(hypothesis, TEA) == "tea tea"
    assert hypothesis.scores.count == pytest.approx(2 * WIDE.word_bonus)
    assert hypothesis.scores.lm == 0.0


def test_the_beam_finds_what_the_likeliest_labels_miss() -> None:
    doubt = {"-": 0.4, "a": 0.35, "t": 0.25}
    log_probs = heard(doubt, doubt, alphabet=AT)
    greedy = GreedyDecoder()
    greedy.feed(log_probs)
    assert text_of(greedy.best()[0], AT) == ""
    assert decoded(log_probs, BeamSearch(AT, BARE), AT) == ["a"]


def test_with_one_label_a_frame_the_likeliest_is_all_there_is(lm: NgramModel) -> None:
    search = BeamSearch(TEA, replace(WIDE, max_labels=1), lm)
    assert decoded(TEN_OR_TEA, search) == ["tea tea"]
    assert decoded(TEN_OR_TEA, BeamSearch(TEA, WIDE, lm)) == ["ten tea"]


def test_a_wider_beam_never_finds_a_worse_best() -> None:
    log_probs = noise(12, TEA, seed=3, spread=1.0)
    widths = (1, 4, 16, 64, 3000)
    totals = [
        best(log_probs, BeamSearch(TEA, replace(BARE, beam_width=width)))[0].scores.total
        for width in widths
    ]
    assert totals[-1] == pytest.approx(max(totals), abs=1e-4)
    assert all(total <= totals[-1] + 1e-4 for total in totals)


@pytest.mark.parametrize("width", [2, 3, 4, 5, 8])
def test_ties_at_the_end_of_the_beam_cost_nothing_better(width: int) -> None:
    log_probs = heard("ten-net a")  # all other labels are equally unlikely
    search = BeamSearch(TEA, replace(BARE, beam_width=width))
    assert decoded(log_probs, search) == ["tennet a"]


@pytest.mark.parametrize("seed", range(20))
def test_a_narrow_beam_is_that_of_the_textbook(seed: int) -> None:
    random = np.random.default_rng(seed)
    settings = replace(
        BARE,
        beam_width=int(random.choice([1, 3, 10, 40])),
        beam_threshold=float(random.choice([2.0, 8.0, 1e6])),
        label_mass=float(random.choice([0.8, 0.95, 1.0])),
        max_labels=int(random.choice([1, 3, 40])),
        word_bonus=float(random.choice([-2.0, 0.0, 1.5])),
    )
    log_probs = noise(15, TEA, seed, spread=float(random.choice([0.7, 2.0, 4.0])))
    expected = textbook(log_probs, settings)
    hypotheses = best(log_probs, BeamSearch(TEA, settings), 1000)
    found = {text_of(hypothesis, TEA): hypothesis.scores.total for hypothesis in hypotheses}
    assert found == pytest.approx(expected, abs=1e-4)


def textbook(log_probs: NDArray[np.float32], settings: BeamSettings) -> dict[str, float]:
    """Texts and scores by the textbook's prefix beam search, with a bonus for words."""

    def bonus(prefix: tuple[int, ...]) -> float:
        return settings.word_bonus * len(TEA.decode(prefix).split())

    def score(prefix: tuple[int, ...]) -> float:
        return float(np.logaddexp(*longer[prefix])) + bonus(prefix)

    beam = {(): [0.0, -np.inf]}  # log p of alignments that end in the blank, and in a label
    for row in log_probs.astype(np.float64):
        longer: dict[tuple[int, ...], list[float]] = {}
        labels = kept_labels(row, settings)
        for prefix, (blank, label) in beam.items():
            both = np.logaddexp(blank, label)
            steps = [(prefix, 0, both + row[BLANK])]
            if prefix:
                steps.append((prefix, 1, label + row[prefix[-1]]))
            for new in range(1, len(row)):
                if new in labels or (*prefix, new) in beam:
                    before = blank if prefix[-1:] == (new,) else both
                    steps.append(((*prefix, new), 1, before + row[new]))
            for reached, kind, value in steps:
                sums = longer.setdefault(reached, [-np.inf, -np.inf])
                sums[kind] = np.logaddexp(sums[kind], value)
        ranked = sorted(longer, key=score, reverse=True)[: settings.beam_width]
        lowest = score(ranked[0]) - settings.beam_threshold
        beam = {prefix: longer[prefix] for prefix in ranked if score(prefix) >= lowest}
    sums_of_texts: dict[str, float] = {}
    for prefix, values in beam.items():
        text = spaced(TEA.decode(prefix), TEA)
        value = np.logaddexp(*values) + bonus(prefix)
        sums_of_texts[text] = float(np.logaddexp(sums_of_texts.get(text, -np.inf), value))
    return sums_of_texts


def kept_labels(row: NDArray[np.float64], settings: BeamSettings) -> list[int]:
    """The likeliest labels that have this probability together with the blank."""
    kept: list[int] = []
    mass = math.exp(row[BLANK])
    for label in (1 + np.argsort(-row[1:])).tolist()[: settings.max_labels]:
        if settings.label_mass < 1 and mass >= settings.label_mass:
            break
        kept.append(label)
        mass += math.exp(row[label])
    return kept


def test_what_falls_far_behind_the_best_is_dropped() -> None:
    def texts(threshold: float) -> list[str]:
        settings = replace(BARE, beam_threshold=threshold)
        return decoded(TEN_OR_TEA, BeamSearch(TEA, settings), n=2)

    assert texts(5.0) == ["tea tea", "ten tea"]
    assert texts(1e-3)[0] == "tea tea"
    assert "ten tea" not in texts(1e-3)


# The language model


def test_a_language_model_settles_what_the_acoustics_leave_open(lm: NgramModel) -> None:
    assert decoded(TEN_OR_TEA, BeamSearch(TEA, WIDE)) == ["tea tea"]
    assert decoded(TEN_OR_TEA, BeamSearch(TEA, WIDE, lm)) == ["ten tea"]


@pytest.mark.parametrize("seed", range(3))
def test_every_hypothesis_is_scored_as_the_formula_says(lm: NgramModel, seed: int) -> None:
    log_probs = noise(5, AT, seed)
    expected = log_likelihoods(log_probs, AT)
    for hypothesis in best(log_probs, BeamSearch(AT, WIDE, lm), 10_000):
        text, scores = text_of(hypothesis, AT), hypothesis.scores
        assert scores.acoustic == pytest.approx(expected.pop(text), abs=1e-4)
        assert scores.lm == pytest.approx(lm_score(text, WIDE), abs=1e-4)
        assert scores.count == pytest.approx(WIDE.word_bonus * len(text.split()))
    assert not expected


@given(seed=st.integers(0, 10_000), num_frames=st.integers(0, 5))
@given_settings(deadline=None, max_examples=30)
def test_no_language_model_is_a_language_model_without_weight(
    lm: NgramModel, seed: int, num_frames: int
) -> None:
    log_probs = noise(num_frames, AT, seed)
    with_lm = best(log_probs, BeamSearch(AT, BARE, lm), 20)
    without = best(log_probs, BeamSearch(AT, BARE), 20)
    assert [(h.tokens, h.scores.total) for h in with_lm] == [
        (h.tokens, h.scores.total) for h in without
    ]


def test_a_model_that_prefers_no_word_is_a_word_bonus(tmp_path: Path) -> None:
    flat = {("<unk>",): (-1.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-0.5, 0.0)}
    model = model_of({**flat, ("at",): (-1.0, 0.0)}, tmp_path / "flat.arpa")
    settings = replace(WIDE, unknown_word_score=0.0)
    each = replace(WIDE, word_bonus=WIDE.word_bonus - WIDE.lm_weight * math.log(10))
    log_probs = noise(5, AT, seed=5)
    with_lm = best(log_probs, BeamSearch(AT, settings, model), 30)
    without = best(log_probs, BeamSearch(AT, each), 30)
    assert [text_of(h, AT) for h in with_lm] == [text_of(h, AT) for h in without]
    ends = {
        round(b.scores.total - a.scores.total, 3) for a, b in zip(with_lm, without, strict=True)
    }
    assert ends == {round(0.5 * WIDE.lm_weight * math.log(10), 3)}


def test_the_borders_of_the_sentence_are_scored(lm: NgramModel) -> None:
    (hypothesis,) = best(heard("tea"), BeamSearch(TEA, WIDE, lm))
    start = -0.4 - 0.6  # <s> backs off to tea
    end = -0.15  # tea </s>
    expected = WIDE.lm_weight * math.log(10) * (start + end)
    assert hypothesis.scores.lm == pytest.approx(expected, abs=1e-4)


def test_an_unknown_word_costs_its_price_whatever_the_weight_of_the_language_model(
    lm: NgramModel,
) -> None:
    for lm_weight, word in itertools.product((0.0, 0.5, 2.0), ("net", "antenna")):
        settings = replace(WIDE, lm_weight=lm_weight, unknown_word_score=-7.0)
        log_probs = heard("-".join(word))
        (hypothesis,) = best(log_probs, BeamSearch(TEA, settings, lm))
        assert text_of(hypothesis, TEA) == word
        language = lm_weight * math.log(10) * (-0.4 - 2.0 - 0.9)  # <s> backs off, <unk>, </s>
        price = -7.0 * num_prices(word)
        assert hypothesis.scores.lm == pytest.approx(language + price, abs=1e-4)


def test_a_price_on_unknown_words_turns_the_reading_to_a_known_one(lm: NgramModel) -> None:
    log_probs = heard("te", {"e": 0.9, "n": 0.1})
    assert decoded(log_probs, BeamSearch(TEA, BARE, lm)) == ["te"]
    assert decoded(log_probs, BeamSearch(TEA, replace(BARE, unknown_word_score=-5.0), lm)) == [
        "ten"
    ]


@given(seed=st.integers(0, 10_000), num_frames=st.integers(0, 8))
@given_settings(deadline=None, max_examples=30)
@pytest.mark.parametrize("width", [2, 50])
def test_a_closed_vocabulary_gives_only_its_words(
    lm: NgramModel, width: int, seed: int, num_frames: int
) -> None:
    closed = replace(WIDE, beam_width=width, unknown_word_score=None)
    hypotheses = best(noise(num_frames, TEA, seed), BeamSearch(TEA, closed, lm), 20)
    texts = [text_of(hypothesis, TEA) for hypothesis in hypotheses]
    assert {(word,) for text in texts for word in text.split()} <= set(GRAMS)
    assert len(set(texts)) == len(texts)
    for text, hypothesis in zip(texts, hypotheses, strict=True):
        assert hypothesis.scores.lm == pytest.approx(lm_score(text, closed), abs=1e-4)
        assert hypothesis.scores.count == pytest.approx(closed.word_bonus * len(text.split()))


def test_a_model_in_love_with_one_word_gives_only_that(tmp_path: Path) -> None:
    words = {("a",): (-9.0, 0.0), ("ten",): (-9.0, 0.0), ("tea",): (-0.01, 0.0)}
    flat = {("<unk>",): (-9.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-0.5, 0.0)}
    model = model_of({**flat, **words}, tmp_path / "biased.arpa")
    settings = replace(WIDE, beam_width=50, lm_weight=10.0, unknown_word_score=None)
    for seed in range(5):
        (text,) = decoded(noise(15, TEA, seed), BeamSearch(TEA, settings, model))
        assert set(text.split()) <= {"tea"}


def test_the_word_bonus_counts_without_a_language_model_too() -> None:
    doubt = heard("a", {" ": 0.3, "-": 0.7}, "t", alphabet=AT)
    assert decoded(doubt, BeamSearch(AT, BARE), AT) == ["at"]
    assert decoded(doubt, BeamSearch(AT, replace(BARE, word_bonus=2.0)), AT) == ["a t"]


def test_a_model_of_another_unit_is_refused(lm: NgramModel) -> None:
    with pytest.raises(InputError, match="characters"):
        BeamSearch(ZH, WIDE, lm)


# Hot phrases


def test_a_hot_word_is_heard_with_and_without_a_language_model(lm: NgramModel) -> None:
    assert decoded(TEN_OR_TEA, BeamSearch(TEA, BARE, None, [HotPhrase("ten", 1.0)])) == ["ten tea"]
    phrases = [HotPhrase("tea", 9.0)]
    assert decoded(TEN_OR_TEA, BeamSearch(TEA, WIDE, lm, phrases)) == ["tea tea"]


def test_hot_words_side_by_side_each_count() -> None:
    search = BeamSearch(TEA, BARE, None, [HotPhrase("ten", 2.0), HotPhrase("tea", 1.0)])
    first, second = best(TEN_OR_TEA, search, 2)
    assert (text_of(first, TEA), first.scores.hot) == ("ten tea", pytest.approx(3.0))
    assert (text_of(second, TEA), second.scores.hot) == ("tea tea", pytest.approx(2.0))


def test_a_phrase_counts_as_a_whole_and_not_by_its_words() -> None:
    search = BeamSearch(TEA, BARE, None, [HotPhrase("ten tea", 4.0)])
    first, second = best(TEN_OR_TEA, search, 2)
    assert (text_of(first, TEA), first.scores.hot) == ("ten tea", pytest.approx(4.0))
    assert (text_of(second, TEA), second.scores.hot) == ("tea tea", 0.0)
    (alone,) = best(heard("ten"), search)
    assert (text_of(alone, TEA), alone.scores.hot) == ("ten", 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_every_occurrence_counts_and_only_between_word_borders(seed: int) -> None:
    weights = {"a": 0.7, "a a": 1.1, "at": -0.4, "a t": 0.9}
    phrases = [HotPhrase(text, weight) for text, weight in weights.items()]
    for hypothesis in best(noise(5, AT, seed), BeamSearch(AT, WIDE, None, phrases), 10_000):
        text = text_of(hypothesis, AT)
        expected = sum(weight * occurrences(phrase, text) for phrase, weight in weights.items())
        assert hypothesis.scores.hot == pytest.approx(expected, abs=1e-9), text


def test_a_hot_word_may_be_outside_a_closed_vocabulary(lm: NgramModel) -> None:
    closed = replace(WIDE, unknown_word_score=None)
    log_probs = heard("ne", {"t": 0.9, "-": 0.1})
    assert decoded(log_probs, BeamSearch(TEA, closed, lm)) != ["net"]
    (hypothesis,) = best(log_probs, BeamSearch(TEA, closed, lm, [HotPhrase("net", 1.0)]))
    assert text_of(hypothesis, TEA) == "net"
    language = WIDE.lm_weight * math.log(10) * (-0.4 - 2.0 - 0.9)  # that of <unk>, at no price
    assert hypothesis.scores.lm == pytest.approx(language, abs=1e-4)


def test_the_weight_of_a_phrase_does_not_depend_on_the_language_model(lm: NgramModel) -> None:
    for lm_weight in (0.0, 3.0):
        search = BeamSearch(TEA, replace(WIDE, lm_weight=lm_weight), lm, [HotPhrase("tea", 2.5)])
        (hypothesis,) = best(heard("tea"), search)
        assert hypothesis.scores.hot == pytest.approx(2.5)


def test_a_weight_below_zero_makes_a_phrase_less_likely() -> None:
    search = BeamSearch(TEA, BARE, None, [HotPhrase("tea", -1.0)])
    assert decoded(TEN_OR_TEA, search) == ["ten tea"]


def test_what_is_lent_while_a_phrase_is_under_way_keeps_it_in_a_narrow_beam() -> None:
    log_probs = heard(
        *({wrong: 0.6, right: 0.4} for right, wrong in zip("neat", "tant", strict=True))
    )
    narrow = replace(BARE, beam_width=2)
    assert decoded(log_probs, BeamSearch(TEA, narrow)) == ["tant"]
    assert decoded(log_probs, BeamSearch(TEA, narrow, None, [HotPhrase("neat", 6.0)])) == ["neat"]


def test_what_was_lent_is_taken_back_where_a_phrase_is_not_completed() -> None:
    log_probs = heard("te", {"e": 0.51, "a": 0.49})
    search = BeamSearch(TEA, BARE, None, [HotPhrase("ten ten", 6.0)])
    (hypothesis,) = best(log_probs, search)
    assert (text_of(hypothesis, TEA), hypothesis.scores.hot) == ("te", 0.0)


def test_in_mandarin_a_phrase_counts_anywhere_and_spaces_do_not() -> None:
    search = BeamSearch(ZH, BARE, None, [HotPhrase("茶 水", 1.5)])
    (hypothesis,) = best(heard("水茶 水-水", alphabet=ZH), search)
    assert (text_of(hypothesis, ZH), hypothesis.scores.hot) == ("水茶水水", pytest.approx(1.5))


@pytest.mark.parametrize("text", ["", " ", "茶"])
def test_a_phrase_that_cannot_be_heard_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        BeamSearch(TEA, WIDE, None, [HotPhrase(text, 1.0)])


# Pieces


@given(
    seed=st.integers(0, 10_000),
    num_frames=st.integers(0, 15),
    cuts=st.lists(st.integers(0, 15), max_size=5),
    width=st.sampled_from([1, 3, 20]),
    with_lm=st.booleans(),
)
@given_settings(deadline=None, max_examples=60)
def test_any_cutting_gives_what_the_whole_gives(
    lm: NgramModel, seed: int, num_frames: int, cuts: list[int], width: int, with_lm: bool
) -> None:
    settings = BeamSettings(beam_width=width)
    phrases = [HotPhrase("tea", 2.0), HotPhrase("a ten", 3.0)]
    search = BeamSearch(TEA, settings, lm if with_lm else None, phrases)
    log_probs = noise(num_frames, TEA, seed)
    decoder = search.decoder(num_hypotheses=5)
    for piece in cut(log_probs, [min(place, num_frames) for place in cuts]):
        decoder.feed(piece)
        decoder.best(2, is_final=False)  # asking changes nothing
    assert decoder.best(5) == best(log_probs, search, 5)


def test_later_words_see_the_words_of_earlier_pieces(lm: NgramModel) -> None:
    first, second = heard("ten "), heard("te", {"a": 0.15, "n": 0.85})
    search = BeamSearch(TEA, replace(WIDE, lm_weight=1.0), lm)
    decoder = search.decoder()
    decoder.feed(first)
    decoder.feed(second)
    assert text_of(decoder.best()[0], TEA) == "ten tea"
    assert decoded(second, search) == ["ten"]


def test_a_word_under_way_is_neither_counted_nor_judged(lm: NgramModel) -> None:
    closed = BeamSearch(TEA, replace(WIDE, unknown_word_score=None), lm)
    decoder = closed.decoder()
    decoder.feed(heard("ten te"))
    (partial,) = decoder.best(is_final=False)
    assert text_of(partial, TEA) == "ten te"
    assert "te" not in text_of(decoder.best()[0], TEA).split()
    decoder.feed(heard("a"))
    assert text_of(decoder.best()[0], TEA) == "ten tea"


@given(seed=st.integers(0, 10_000), num_pieces=st.integers(1, 8))
@given_settings(deadline=None, max_examples=30)
def test_what_is_called_stable_stays(lm: NgramModel, seed: int, num_pieces: int) -> None:
    decoder = BeamSearch(TEA, BeamSettings(beam_width=8), lm).decoder()
    stable: list[int] = []
    for piece in range(num_pieces):
        decoder.feed(noise(5, TEA, seed + piece, spread=4.0))
        for is_final in (False, True):
            (hypothesis,) = decoder.best(is_final=is_final)
            labels = [token.label for token in hypothesis.tokens]
            assert labels[: len(stable)] == stable
            if not is_final:
                stable = labels[: hypothesis.num_stable]


def test_a_batch_gives_what_its_utterances_give_alone(lm: NgramModel) -> None:
    search = BeamSearch(TEA, BeamSettings(), lm, [HotPhrase("tea", 2.0)])
    batch = [noise(length, TEA, length) for length in (7, 0, 23, 1, 12)]
    alone = [best(log_probs, search, 3) for log_probs in batch]
    for num_threads in (1, 3, None):
        assert search.decode_batch(batch, n=3, num_threads=num_threads) == alone
    assert search.decode_batch([]) == []


def test_no_frames_are_an_empty_text(lm: NgramModel) -> None:
    (hypothesis,) = BeamSearch(TEA, WIDE, lm).decoder().best()
    assert hypothesis.tokens == ()
    assert hypothesis.scores.acoustic == 0.0


# Times


def test_a_token_begins_where_its_run_begins() -> None:
    labels = [2, 2, 0, 3, 3, 3, 0, 3]
    log_probs = heard("".join("- aent"[label] for label in labels))
    (hypothesis,) = best(log_probs, BeamSearch(TEA, BARE))
    assert [token.label for token in hypothesis.tokens] == [2, 3, 3]
    assert [token.start_frame for token in hypothesis.tokens] == [0, 3, 7]
    assert [token.end_frame for token in hypothesis.tokens] == [2, 6, 8]


def test_words_last_from_their_first_letter_to_their_last(lm: NgramModel) -> None:
    log_probs = heard(" -te-een-- ", "tt--ea-")
    (hypothesis,) = best(log_probs, BeamSearch(TEA, BARE, lm))
    words = words_of(hypothesis.tokens, TEA, output_stride_s=1.0, duration_s=len(log_probs))
    assert [(word.text, word.start_s, word.end_s) for word in words] == [
        ("teen", 2.0, 8.0),
        ("tea", 11.0, 17.0),
    ]


@given(seed=st.integers(0, 10_000), num_frames=st.integers(0, 20))
@given_settings(deadline=None, max_examples=40)
def test_random_frames_give_ordered_times_and_finite_scores(
    lm: NgramModel, seed: int, num_frames: int
) -> None:
    search = BeamSearch(TEA, BeamSettings(), lm, [HotPhrase("ten", 3.0)])
    for hypothesis in best(noise(num_frames, TEA, seed), search, 5):
        assert math.isfinite(hypothesis.scores.total)
        frames = [(token.start_frame, token.end_frame) for token in hypothesis.tokens]
        assert all(0 <= start < end <= num_frames for start, end in frames)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(frames))
        assert all(0 <= token.confidence <= 1 for token in hypothesis.tokens)


# Input


@pytest.mark.parametrize("shape", [(6,), (3, 5), (3, 7), (1, 3, 6)])
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        BeamSearch(TEA, WIDE).decoder().feed(np.full(shape, -1.8, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("label", [0, 1])
def test_what_are_no_log_probs_is_refused(value: float, label: int) -> None:
    log_probs = noise(4, TEA, seed=0)
    log_probs[2, label] = value
    with pytest.raises(ValueError, match="NaN"):
        BeamSearch(TEA, WIDE).decoder().feed(log_probs)


def test_a_refused_piece_changes_nothing(lm: NgramModel) -> None:
    search = BeamSearch(TEA, BeamSettings(), lm)
    log_probs = noise(8, TEA, seed=0)
    broken = log_probs.copy()
    broken[2] = np.nan
    decoder = search.decoder(num_hypotheses=3)
    with pytest.raises(ValueError, match="NaN"):
        decoder.feed(broken)
    decoder.feed(log_probs)
    assert decoder.best(3) == best(log_probs, search, 3)


def test_labels_of_probability_zero_may_be_there(lm: NgramModel) -> None:
    log_probs = np.full((3, len(TEA)), -np.inf, np.float32)
    log_probs[np.arange(3), TEA.encode("tea")] = 0.0
    (hypothesis,) = best(log_probs, BeamSearch(TEA, BeamSettings(), lm))
    assert text_of(hypothesis, TEA) == "tea"
    assert hypothesis.scores.acoustic == pytest.approx(0.0, abs=1e-6)
