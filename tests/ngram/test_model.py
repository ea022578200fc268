"""Scores: the binary equals the ARPA file, states are sufficient, probabilities sum to one."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from aids.grams import FALLBACK, GENESIS, POEM, backed_off, build, grams_in
from ds2.errors import InputError
from ds2.ngram.binary import FORMAT_VERSION, HEADER_BYTES, PREFIX, ModelFacts, open_model
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.mixture import fit_weights, mixed, word_log_probs
from ds2.ngram.model import NgramModel
from ds2.ngram.score import EMPTY_STATE, score_word

LOG_10 = math.log(10)
CONFIGS = [
    EstimateConfig(1),
    EstimateConfig(2),
    EstimateConfig(3, (0, 0, 1)),
    EstimateConfig(5),
    EstimateConfig(8, (0, 1, 1, 2), discount_fallback=FALLBACK),
    EstimateConfig(3, vocabulary=20),
]
WORDS = [*sorted(set(GENESIS.split())), "zebra", "quark"]

sentences = st.lists(st.sampled_from(WORDS), max_size=12)


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: f"order{config.order}")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NgramModel:
    return build(tmp_path_factory.mktemp("lm"), GENESIS, request.param)


@settings(deadline=None, max_examples=40)
@given(words=sentences, begin=st.booleans())
def test_scores_are_those_of_the_definition(
    model: NgramModel, words: list[str], begin: bool
) -> None:
    grams = grams_in(model)
    known = [word if (word,) in grams else "<unk>" for word in words]
    history = ["<s>"] * begin
    scored = model.score_sentence(words, begin=begin)
    assert [item.word for item in scored] == [*words, "</s>"]
    for item, word in zip(scored, [*known, "</s>"], strict=True):
        context = tuple(history[max(0, len(history) - model.order + 1) :])
        expected = backed_off(grams, context, word)
        assert item.log_prob == pytest.approx(expected * LOG_10, rel=1e-12, abs=1e-12)
        longest = max(
            length
            for length in range(1, len(context) + 2)
            if (*context[len(context) + 1 - length :], word) in grams
        )
        assert item.order == longest
        assert item.is_known == (word != "<unk>")
        history.append(word)


@settings(deadline=None, max_examples=25)
@given(words=sentences)
def test_a_sentence_is_the_sum_of_its_steps(model: NgramModel, words: list[str]) -> None:
    state, total = model.begin_state(), 0.0
    for word in words:
        log_prob, state = model.score(model.word_id(word), state)
        total += log_prob
    total += model.score(model.word_id("</s>"), state)[0]
    assert total == pytest.approx(sum(item.log_prob for item in model.score_sentence(words)))


@settings(deadline=None, max_examples=25)
@given(words=sentences)
def test_probabilities_sum_to_one_after_any_words(model: NgramModel, words: list[str]) -> None:
    state = model.begin_state()
    for word in words:
        _, state = model.score(model.word_id(word), state)
    begin = model.word_id("<s>")
    total = sum(
        math.exp(model.score(index, state)[0])
        for index in range(len(model.vocabulary))
        if index != begin
    )
    assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_compiled_code_scores_like_the_model(model: NgramModel) -> None:
    @njit
    def total(arrays, state, ids):  # type: ignore[no-untyped-def]
        sum_log_prob = 0.0
        for index in ids:
            log_prob, state = score_word(arrays, state, index)
            sum_log_prob += log_prob
        return sum_log_prob

    words = GENESIS.splitlines()[3].split()
    ids = np.array([model.word_id(word) for word in [*words, "</s>"]])
    expected = sum(item.log_prob for item in model.score_sentence(words))
    assert total(model.arrays, model.begin_state(), ids) == pytest.approx(expected)


def test_every_word_is_found_and_no_other(model: NgramModel) -> None:
    assert model.vocabulary[:3] == ["<unk>", "<s>", "</s>"]
    assert [model.word_id(word) for word in model.vocabulary] == list(range(model.counts[0]))
    assert model.word_id("zebra") == model.word_id("") == model.word_id("god ") == 0


def test_words_with_the_same_hash_are_told_apart(tmp_path: Path) -> None:
    twins = ["plumless", "buckeroo"]  # both have CRC-32 4DDB0C25
    config = EstimateConfig(1, discount_fallback=FALLBACK)
    model = build(tmp_path, "\n".join(["a", *twins]) + "\n", config)
    assert [model.vocabulary[model.word_id(word)] for word in twins] == twins


def test_more_words_than_16_bits_can_number(tmp_path: Path) -> None:
    words = [f"w{index}" for index in range(70_000)]
    lines = [" ".join(words[start : start + 2]) for start in range(0, len(words), 2)]
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    model = build(tmp_path, "\n".join(lines) + "\n", config)
    for index in (3, 65_535, 65_537, 69_999):
        pair = [words[index - 1], words[index]]
        assert [item.order for item in model.score_sentence(pair)] == [2, 2, 2]
        assert model.score_sentence([words[5], words[index]])[1].order == 1
    assert len(grams_in(model)) == sum(model.counts)


@settings(deadline=None, max_examples=25)
@given(words=sentences)
def test_codes_are_as_close_as_they_say(
    coded: tuple[NgramModel, NgramModel], words: list[str]
) -> None:
    exact, rounded = coded
    assert exact.max_error == 0 < rounded.max_error < 2e-4
    assert rounded.num_bytes < exact.num_bytes
    for one, other in zip(exact.score_sentence(words), rounded.score_sentence(words), strict=True):
        assert one.order == other.order
        assert abs(one.log_prob - other.log_prob) <= exact.order * rounded.max_error * 1.001


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> tuple[NgramModel, NgramModel]:
    path, config = tmp_path_factory.mktemp("lm"), EstimateConfig(4)
    return build(path, GENESIS, config), build(path, GENESIS, config, exact=False)


def test_perplexity_is_that_of_the_words_and_sentence_ends(tmp_path: Path) -> None:
    model = build(tmp_path, GENESIS, EstimateConfig(3))
    texts = ["and god said", "the zebra said"]
    scored = [item for text in texts for item in model.score_sentence(text.split())]
    result = model.perplexity(texts)
    assert (result.num_sentences, result.num_words, result.num_unknown) == (2, 6, 1)
    mean = sum(item.log_prob for item in scored) / 8
    assert result.including_unknown == pytest.approx(math.exp(-mean))
    known = [item.log_prob for item in scored if item.is_known]
    assert result.excluding_unknown == pytest.approx(math.exp(-sum(known) / 7))


def test_a_model_of_characters_cuts_texts_into_characters(tmp_path: Path) -> None:
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    model = build(tmp_path, POEM, config, unit="character")
    assert model.words_of("床前 明月") == list("床前明月")
    assert model.perplexity(["床前明月光"]).num_words == 5


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    model = build(tmp_path, POEM, config, unit="character", language="zh")
    model.require("character", "zh")
    with pytest.raises(InputError, match=r"lm.bin: is a model of characters, and words are"):
        model.require("word", "en")
    with pytest.raises(InputError, match=r"lm.bin: is of language zh, and en is needed"):
        model.require("character", "en")


def damaged(path: Path, place: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[place : place + len(data)] = data
    path.write_bytes(content)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    model = build(tmp_path, GENESIS, EstimateConfig(3))
    model.verify()
    path = tmp_path / "lm.bin"
    whole = path.read_bytes()
    for length in (10, HEADER_BYTES, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"lm.bin: (is cut short|has \d+ bytes and should)"):
            NgramModel.load(path)
    path.write_bytes(whole)
    damaged(path, PREFIX.size + 20, b"?")
    with pytest.raises(InputError, match="its header is damaged"):
        NgramModel.load(path)
    path.write_bytes(whole)
    damaged(path, HEADER_BYTES + 200, b"\xff")
    with pytest.raises(InputError, match="contexts: is damaged"):
        NgramModel.load(path).verify()
    path.write_bytes(whole)
    damaged(path, 8, (FORMAT_VERSION + 1).to_bytes(4, "little"))
    with pytest.raises(InputError, match="has format version 2, and this ds2 reads 1"):
        NgramModel.load(path)


def test_loading_reads_nothing_but_the_header(tmp_path: Path) -> None:
    build(tmp_path, GENESIS, EstimateConfig(3))
    data = (tmp_path / "lm.bin").read_bytes()
    blank = data[:HEADER_BYTES] + bytes(len(data) - HEADER_BYTES)
    assert open_model(blank, "blank").counts == (62, 128, 161)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[NgramModel, NgramModel]:
    lines = GENESIS.splitlines(keepends=True)
    one = build(tmp_path_factory.mktemp("one"), "".join(lines[:6]), EstimateConfig(2))
    config = EstimateConfig(4, (0, 0, 1), discount_fallback=FALLBACK)
    return one, build(tmp_path_factory.mktemp("two"), "".join(lines[5:]), config)


def test_mixture_weights_are_the_best_there_are(pair: tuple[NgramModel, NgramModel]) -> None:
    log_probs = word_log_probs(pair, GENESIS.splitlines()[4:7])
    weights = fit_weights(log_probs)
    assert weights.sum() == pytest.approx(1)
    likelihood = [
        np.log(np.array([share, 1 - share]) @ np.exp(log_probs)).sum()
        for share in np.linspace(0.001, 0.999, 999)
    ]
    assert weights[0] == pytest.approx((1 + int(np.argmax(likelihood))) / 1000, abs=1.5e-3)


def test_a_mixture_gives_its_ngrams_the_mixed_probability_and_sums_to_one(
    pair: tuple[NgramModel, NgramModel],
) -> None:
    weights = np.array([0.3, 0.7])
    model = NgramModel.from_levels(*mixed(pair, weights), "mixture")
    grams, parts = grams_in(model), [grams_in(part) for part in pair]
    assert grams.keys() == parts[0].keys() | parts[1].keys()
    for gram in grams.keys() - {("<s>",)}:
        expected = sum(
            weight * 10 ** backed_off(part, gram[:-1], gram[-1])
            for weight, part in zip(weights, parts, strict=True)
            if (gram[-1],) in part
        )
        assert 10 ** grams[gram][0] == pytest.approx(expected, rel=1e-5)
    for text in ("", "and god", "in the beginning", "the dry land", "zebra"):
        state = model.begin_state()
        for word in text.split():
            _, state = model.score(model.word_id(word), state)
        ids = set(range(len(model.vocabulary))) - {model.word_id("<s>")}
        total = sum(math.exp(model.score(index, state)[0]) for index in ids)
        assert total == pytest.approx(1, abs=1e-5)


def test_models_that_do_not_go_together_are_not_mixed(
    pair: tuple[NgramModel, NgramModel], tmp_path: Path
) -> None:
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    other = build(tmp_path, POEM, config, unit="character")
    with pytest.raises(InputError, match="one model is of words and another of characters"):
        mixed([pair[0], other], np.array([0.5, 0.5]))
    with pytest.raises(InputError, match="has no words"):
        word_log_probs(pair, ["", " "])


def test_the_empty_state_knows_no_context(model: NgramModel) -> None:
    word = model.word_id("god")
    expected = grams_in(model)["god",][0] * LOG_10
    assert model.score(word, EMPTY_STATE)[0] == pytest.approx(expected)


def test_facts_survive(tmp_path: Path) -> None:
    model = build(tmp_path, GENESIS, EstimateConfig(3, (0, 0, 1)), language="en")
    assert model.facts == ModelFacts("word", "en", model.facts.origin)
    assert model.facts.origin["sentences"] == 10
    assert model.facts.origin["prune"] == [0, 0, 1]
