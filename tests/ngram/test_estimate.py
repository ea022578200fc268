"""Estimation: equal to the textbook and to KenLM's lmplz, on disk as in memory."""

import gzip
import io
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.grams import FALLBACK, GENESIS, POEM, Gram, build, grams_in
from ds2.errors import InputError
from ds2.ngram.build import build_model
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.model import NgramModel

Sentences = list[list[str]]

WORDS = ["a", "b", "c", "d", "e"]
LAST_LINE = ["a", "end"]
"""Ends random texts: a word that comes once, last of all, where lmplz's slip does nothing."""

sentences = st.lists(st.lists(st.sampled_from(WORDS), max_size=7), min_size=1, max_size=12)


def textbook(
    texts: Sentences, order: int, thresholds: tuple[int, ...]
) -> dict[Gram, tuple[float, float]]:
    """Interpolated modified Kneser-Ney of Chen and Goodman (1998), section 3, by definition."""
    counts: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
    for text in texts:
        words = ("<s>", *text, "</s>")
        for end in range(2, len(words) + 1):
            for k in range(1, min(order, end) + 1):
                counts[k][words[end - k : end]] += 1
    adjusted: list[dict[Gram, int]] = [dict(level) for level in counts]
    for k in range(1, order):
        for gram in counts[k]:
            if gram[0] != "<s>":
                adjusted[k][gram] = sum(longer[1:] == gram for longer in counts[k + 1])
    kept = {g for k in range(1, order + 1) for g in counts[k] if counts[k][g] > thresholds[k - 1]}
    kept.add(("</s>",))
    discounts = [(0.0, 0.0, 0.0, 0.0), *(closed_form(adjusted[k]) for k in range(1, order + 1))]

    def weight(context: Gram) -> float:
        level = adjusted[len(context) + 1]
        following = {gram: count for gram, count in level.items() if gram[:-1] == context}
        taken = 0.0
        for gram, count in following.items():
            taken += discounts[len(gram)][min(count, 3)] if gram in kept else count
        return taken / sum(following.values()) if following else 1.0

    def prob(gram: Gram) -> float:
        if not gram:
            return 1 / (1 + sum(len(other) == 1 for other in kept))  # 1: <unk>
        level = adjusted[len(gram)]
        total = sum(count for other, count in level.items() if other[:-1] == gram[:-1])
        count = level.get(gram, 0)
        discounted = count - discounts[len(gram)][min(count, 3)] if count else 0.0
        return discounted / total + weight(gram[:-1]) * prob(gram[1:])

    grams = {gram: (prob(gram), weight(gram) if len(gram) < order else 1.0) for gram in kept}
    grams["<unk>",] = (prob(("<unk>",)), 1.0)
    grams["<s>",] = (1.0, weight(("<s>",)) if order > 1 else 1.0)
    return grams


def closed_form(adjusted: dict[Gram, int]) -> tuple[float, float, float, float]:
    """Equation 26 of Chen and Goodman, or the fallback where it makes no sense."""
    n = [sum(count == number for count in adjusted.values()) for number in range(5)]
    if 0 in n[1:4]:
        return (0.0, *FALLBACK)
    share = n[1] / (n[1] + 2 * n[2])
    one, two, three = (j - (j + 1) * share * n[j + 1] / n[j] for j in (1, 2, 3))
    if not (0 <= one <= 1 and 0 <= two <= 2 and 0 <= three <= 3):
        return (0.0, *FALLBACK)
    return (0.0, one, two, three)


@settings(deadline=None, max_examples=60)
@given(texts=sentences, order=st.integers(1, 5), thresholds=st.lists(st.integers(0, 2), max_size=5))
def test_estimates_equal_the_textbook(texts: Sentences, order: int, thresholds: list[int]) -> None:
    texts = [*texts, LAST_LINE]
    prune = tuple(sorted(thresholds))[:order] or (0,)
    config = EstimateConfig(order, prune, discount_fallback=FALLBACK)
    expected = textbook(texts, order, config.thresholds)
    with TemporaryDirectory() as directory:
        text = "".join(" ".join(words) + "\n" for words in texts)
        grams = grams_in(build(Path(directory), text, config))
    assert grams.keys() == expected.keys()
    for gram, (log10_prob, log10_backoff) in grams.items():
        assert 10**log10_prob == pytest.approx(expected[gram][0], rel=1e-5), gram
        assert 10**log10_backoff == pytest.approx(expected[gram][1], rel=1e-5), gram


# What lmplz of KenLM 0.3.0 made of GENESIS: options, discounts, n-grams per order, the sums of
# all log10 probabilities and of all back-off weights per order, and some of the n-grams.
DISCOUNTS = [(0.53125, 1.3625, 2.29167), (0.791045, 1.32196, 2.20896), (0.722222, 1.56667, 3)]
LMPLZ = {
    "-o 3": (
        EstimateConfig(3),
        DISCOUNTS,
        ([62, 128, 161], [-113.609, -131.2386, -94.355], [-7.38081, -16.21748, 0.0]),
        {
            "<unk>": (-2.0883436, 0),
            "god": (-1.8634944, -0.10179894),
            "in the": (-0.38717684, -0.14132915),
            "<s> and": (-0.14649576, -0.3834402),
            "the face of": (-0.4048629, 0),
            "deep and": (-0.522694, -0.14132915),
        },
    ),
    "-o 3 --prune 0 0 1": (
        EstimateConfig(3, (0, 0, 1)),
        DISCOUNTS,
        ([62, 128, 31], [-113.609, -131.2386, -21.6308], [-7.38081, -2.26507, 0.0]),
        {"in the": (-0.38717684, 0), "<s> and": (-0.14649576, -0.3521825)},
    ),
    "-o 3 --prune 0 1": (
        EstimateConfig(3, (0, 1)),
        DISCOUNTS,
        ([62, 45, 31], [-113.609, -43.1733, -21.4412], [-3.37721, -2.26507, 0.0]),
        {"god": (-1.8634944, -0.04074496), "<s> and": (-0.1450327, -0.3521825)},
    ),
    "-o 3 --limit_vocab_file, the 5 most frequent words": (
        EstimateConfig(3, vocabulary=5),
        DISCOUNTS,
        ([8, 6, 4], [-6.04, -3.5613, -2.2137], [-0.73016, -0.42387, 0.0]),
        {"<unk>": (-0.97922826, 0), "god": (-0.9569014, 0), "<s> and": (-0.12660217, -0.3834402)},
    ),
    "-o 3 --interpolate_unigrams 0": (
        EstimateConfig(3, interpolate_unigrams=False),
        DISCOUNTS,
        ([62, 128, 161], [-138.3759, -137.3546, -96.0159], [-7.38081, -16.21748, 0.0]),
        {"<unk>": (-0.3030137, 0), "the face of": (-0.41047668, 0)},
    ),
    "-o 1": (
        EstimateConfig(1),
        [(0.418182, 1.37273, 2.79091)],
        ([62], [-117.32], [0.0]),
        {"<unk>": (-2.1585467, 0), "god": (-1.2994982, 0)},
    ),
    "-o 5": (
        EstimateConfig(5),
        [
            *DISCOUNTS[:2],
            (0.859649, 1.78509, 3),
            (0.942857, 0.868572, 3),
            (0.909605, 1.3178, 3),
        ],
        (
            [62, 128, 161, 172, 171],
            [-113.609, -131.2386, -114.9529, -107.709, -82.3316],
            [-7.38081, -8.0763, -5.57382, -7.69314, 0.0],
        ),
        {"<s> and": (-0.14649576, -0.36769468), "the face of": (-0.47546965, -0.025554102)},
    ),
}


@pytest.mark.parametrize("options", LMPLZ)
def test_estimates_equal_those_of_lmplz(options: str, tmp_path: Path) -> None:
    config, discounts, (counts, prob_sums, backoff_sums), some = LMPLZ[options]
    source, output = tmp_path / "genesis.txt", tmp_path / "lm.bin"
    source.write_text(GENESIS)
    built = build_model([source], output, config, unit="word", exact=True)
    np.testing.assert_allclose(built.discounts, discounts, atol=5e-6)
    model = NgramModel.load(output)
    assert list(model.counts) == counts == list(built.counts)
    for level, prob_sum, backoff_sum in zip(model.levels(), prob_sums, backoff_sums, strict=True):
        assert level.log10_probs[:].sum(dtype=np.float64) == pytest.approx(prob_sum, abs=1e-4)
        assert level.log10_backoffs[:].sum(dtype=np.float64) == pytest.approx(backoff_sum, abs=1e-4)
    grams = grams_in(model)
    for gram, numbers in some.items():
        assert grams[tuple(gram.split())] == pytest.approx(numbers, abs=1e-6), gram


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a b c\nb c a\n",
            "<unk> -1 0|<s> 0 -0.30103|</s> -0.6146491 0|a -0.6146491 -0.30103|"
            "b -0.6146491 -0.30103|c -0.7659168 -0.30103|a </s> -0.4301247|c </s> -0.4301247|"
            "<s> a -0.4301247|c a -0.4301247|<s> b -0.4301247|a b -0.4301247|b c -0.2323142",
        ),
        (
            "a b c\n\nb c a\n",
            "<unk> -1 0|<s> 0 -0.30103|</s> -0.54136217 0|a -0.6478175 -0.30103|"
            "b -0.6478175 -0.30103|c -0.78914666 -0.30103|<s> </s> -0.508055|a </s> -0.40477943|"
            "c </s> -0.40477943|<s> a -0.55413646|c a -0.44069198|<s> b -0.55413646|"
            "a b -0.44069198|b c -0.23563702",
        ),
    ],
)
def test_the_whole_of_a_tiny_model_equals_lmplz_with_its_fallback(
    text: str, expected: str, tmp_path: Path
) -> None:
    grams = grams_in(build(tmp_path, text, EstimateConfig(2, discount_fallback=FALLBACK)))
    lines = [line.split() for line in expected.split("|")]
    numbers = {
        tuple(word for word in line if not word.lstrip("-").replace(".", "").isdigit()): [
            float(word) for word in line if word.lstrip("-").replace(".", "").isdigit()
        ]
        for line in lines
    }
    assert grams.keys() == numbers.keys()
    for gram, figures in numbers.items():
        assert list(grams[gram])[: len(figures)] == pytest.approx(figures, abs=1e-6), gram


@settings(deadline=None, max_examples=40)
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=9), min_size=1, max_size=40),
    order=st.integers(1, 6),
    vocabulary=st.none() | st.integers(1, 5),
    memory=st.sampled_from([1, 700, 5000, 50_000]),
    unit=st.sampled_from(["word", "character"]),
)
def test_a_model_sorted_on_disk_is_the_model_sorted_in_memory(
    texts: Sentences, order: int, vocabulary: int | None, memory: int, unit: str
) -> None:
    config = EstimateConfig(order, (0, 0, 1)[:order], vocabulary, discount_fallback=FALLBACK)
    text = "a\n" + "".join(" ".join(words) + "\n" for words in texts)
    with TemporaryDirectory() as directory:
        source, whole, pieces = (Path(directory) / name for name in ("text", "whole", "pieces"))
        source.write_text(text)
        build_model([source], whole, config, unit=unit)  # type: ignore[arg-type]
        build_model([source], pieces, config, unit=unit, memory=memory)  # type: ignore[arg-type]
        assert whole.read_bytes() == pieces.read_bytes()


def test_a_longer_text_sorted_on_disk_in_many_pieces_is_the_same_model(tmp_path: Path) -> None:
    words = np.random.default_rng(0).zipf(1.3, 20_000) % 500
    lines = [" ".join(map(str, line)) for line in np.array_split(words, 2000)]
    source, whole, pieces = (tmp_path / name for name in ("text", "whole", "pieces"))
    source.write_text("\n".join(lines) + "\n")
    config = EstimateConfig(4, (0, 0, 1))
    build_model([source], whole, config, unit="word")
    build_model([source], pieces, config, unit="word", memory=400_000)
    assert whole.read_bytes() == pieces.read_bytes()


def test_texts_come_from_files_gzip_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = GENESIS.splitlines(keepends=True)
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    plain.write_text("\ufeff" + "".join(lines[:3]).rstrip("\n"))
    packed.write_bytes(gzip.compress("".join(lines[3:7]).replace("\n", "\r\n").encode()))
    rest = io.TextIOWrapper(io.BytesIO("".join(lines[7:]).encode()))
    monkeypatch.setattr(sys, "stdin", rest)
    output = tmp_path / "parts.bin"
    build_model([plain, packed, "-"], output, EstimateConfig(3), unit="word", exact=True)
    whole = build(tmp_path, GENESIS, EstimateConfig(3))
    assert grams_in(NgramModel.load(output)) == grams_in(whole)


def test_characters_are_words_and_spaces_are_nothing(tmp_path: Path) -> None:
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    model = build(tmp_path, POEM.replace("明", " 明\u3000"), config, unit="character")
    spaced = build(tmp_path, "\n".join(" ".join(line) for line in POEM.split("\n")[:2]), config)
    assert model.vocabulary == spaced.vocabulary
    assert grams_in(model) == grams_in(spaced)
    assert model.unit == "character"


def test_lines_are_normalised_for_the_language(tmp_path: Path) -> None:
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    model = build(tmp_path, "Hello, World!\nHELLO 2 worlds.\n", config, language="en")
    assert model.vocabulary[3:] == ["hello", "world", "two", "worlds"]
    assert model.facts.language == "en"


def test_blank_lines_are_sentences_unless_they_are_skipped(tmp_path: Path) -> None:
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    blank = build(tmp_path, "a b\n\n \nb a\n", config)
    assert ("<s>", "</s>") in grams_in(blank)
    skipped = build(tmp_path, "a b\n\n \nb a\n", config, skip_blank=True)
    assert grams_in(skipped) == grams_in(build(tmp_path, "a b\nb a\n", config))


def test_a_limited_vocabulary_keeps_the_first_met_of_equally_frequent_words(
    tmp_path: Path,
) -> None:
    config = EstimateConfig(2, vocabulary=2, discount_fallback=FALLBACK)
    model = build(tmp_path, "x y z z\ny x w\n", config)
    assert model.vocabulary == ["<unk>", "<s>", "</s>", "x", "y"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "text.txt: no words to build a model from"),
        ("\n \n", {}, "text.txt: no words to build a model from"),
        ("a b\nc <s> d\n", {}, "text.txt:2: holds the word <s>"),
        ("a b c\n", {}, "the text is too small or too repetitive to smooth 1-grams"),
    ],
)
def test_text_that_gives_no_model_is_refused(
    text: str, options: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        build(tmp_path, text, EstimateConfig(2), **options)
    assert not (tmp_path / "lm.bin").exists()


def test_text_that_is_not_utf8_is_refused_by_line(tmp_path: Path) -> None:
    source = tmp_path / "latin.txt"
    source.write_bytes(b"good\n" * 7 + b"na\xefve\n")
    with pytest.raises(InputError, match=r"latin.txt:8: byte 0xef is not UTF-8"):
        build_model([source], tmp_path / "lm.bin", EstimateConfig(2), unit="word")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none.txt", None, "none.txt: no such file"),
        ("bad.gz", b"not gzip", "bad.gz: is no complete gzip file"),
        ("cut.gz", gzip.compress(GENESIS.encode())[:-9], "cut.gz: is no complete gzip file"),
    ],
)
def test_text_that_cannot_be_read_is_refused(
    name: str, data: bytes | None, message: str, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        build_model([tmp_path / name], tmp_path / "lm.bin", EstimateConfig(2), unit="word")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order": 0}, "order: 0: it must be 1 to 8"),
        ({"order": 9}, "order: 9"),
        ({"order": 2, "prune": (0, 0, 1)}, "3 thresholds for a model of order 2"),
        ({"prune": (1, 0)}, "must not fall"),
        ({"prune": (-1,)}, "cannot be negative"),
        ({"vocabulary": 0}, "vocabulary: 0"),
        ({"discount_fallback": (0.5, 2.5, 1.0)}, "2.5 for count 2: it must be 0 to 2"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EstimateConfig(**values)  # type: ignore[arg-type]
