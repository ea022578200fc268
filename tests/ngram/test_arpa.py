"""ds2 reads ARPA files of KenLM, SRILM and IRSTLM, and refuses broken ones with their line."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from aids.grams import FALLBACK, GENESIS, backed_off, build, grams_in, grams_of
from ds2.errors import InputError
from ds2.ngram.arpa import read_arpa, write_arpa
from ds2.ngram.columns import Workspace
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.model import NgramModel

KENLM = """\
\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.5\t<unk>\t0
0\t<s>\t-0.5
-0.7\t</s>\t0
-0.25\ta\t-0.125
-0.75\tb\t-0.375

\\2-grams:
-0.0625\t<s> a
-0.5\ta b
-0.875\tb </s>

\\end\\
"""

# No <unk>; text before the header; words in any order; backs off only where it must; the context
# "b a" of a trigram is missing, as pruning by entropy leaves it, and so is the end "a d".
SRILM = """
made by hand

\\data\\
ngram 1=6
ngram 2=3
ngram 3=2

\\1-grams:
-0.9\tb\t-0.2
-0.8\ta\t-0.4
-99\t<s>\t-0.3
-0.7\t</s>
-1.1\tc
-1.2\td

\\2-grams:
-0.3\ta b\t-0.05
-0.2\t<s> a
-0.6\tb c

\\3-grams:
-0.15\t<s> a b
-0.01\tb a d

\\end\\
"""

# Spaces in the counts, a logarithm that rounding has lifted above 0, spaces between fields.
IRSTLM = """

\\data\\
ngram  1=         4
ngram  2=         1


\\1-grams:
-0.9 <s> -0.3
-0.5 a -0.1
-0.6 </s>
-1.5 <unk>
\\2-grams:
0.00001 <s> a
\\end\\
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_kenlm_is_read(tmp_path: Path) -> None:
    levels, vocabulary = read_arpa(written(tmp_path / "lm.arpa", KENLM))
    assert vocabulary == ["<unk>", "<s>", "</s>", "a", "b"]
    grams = grams_of(levels, vocabulary)
    assert grams["a",] == (-0.25, -0.125)
    assert grams["a", "b"] == (-0.5, 0)
    assert len(grams) == 8


def test_a_file_of_srilm_is_read_and_its_holes_are_filled(tmp_path: Path) -> None:
    model = NgramModel.load(written(tmp_path / "lm.arpa", SRILM))
    grams = grams_in(model)
    assert model.vocabulary == ["<unk>", "<s>", "</s>", "b", "a", "c", "d"]
    assert grams["<unk>",][0] == -100
    assert grams["b", "a"] == pytest.approx((-0.2 - 0.8, 0))
    assert grams["a", "d"] == pytest.approx((-0.4 - 1.2, 0))
    assert model.counts == (7, 5, 2)
    given = {gram: grams[gram] for gram in grams if gram not in (("b", "a"), ("a", "d"))}
    for context in (("<s>", "a"), ("b", "a"), ("a", "b"), ("c", "b"), ("<s>",), ()):
        for word in ("a", "b", "c", "d", "</s>", "<unk>"):
            expected = backed_off(given, context, word)
            assert backed_off(grams, context, word) == pytest.approx(expected)


def test_a_file_of_irstlm_is_read(tmp_path: Path) -> None:
    levels, vocabulary = read_arpa(written(tmp_path / "lm.arpa", IRSTLM))
    grams = grams_of(levels, vocabulary)
    assert grams["<s>", "a"] == (0, 0)
    assert grams["a",] == pytest.approx((-0.5, -0.1))


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_writing_and_reading_changes_nothing(name: str, tmp_path: Path) -> None:
    model = build(tmp_path, GENESIS, EstimateConfig(4, (0, 0, 1)))
    write_arpa(tmp_path / name, model.levels(), model.vocabulary, Workspace())
    again = NgramModel.load(tmp_path / name)
    assert again.vocabulary == model.vocabulary
    assert again.counts == model.counts
    assert grams_in(again) == grams_in(model)


def test_what_is_written_has_the_form_of_kenlm(tmp_path: Path) -> None:
    model = build(tmp_path, "a b\n", EstimateConfig(2, discount_fallback=FALLBACK))
    write_arpa(tmp_path / "lm.arpa", model.levels(), model.vocabulary, Workspace())
    lines = (tmp_path / "lm.arpa").read_text().split("\n")
    assert lines[:5] == ["\\data\\", "ngram 1=5", "ngram 2=3", "", "\\1-grams:"]
    assert lines[6].startswith("0\t<s>\t-0.")
    assert lines[-8:-6] == ["", "\\2-grams:"]
    assert lines[-3:] == ["", "\\end\\", ""]


def test_every_float_survives_as_text(tmp_path: Path) -> None:
    random = np.random.default_rng(0).exponential(2, 400)
    powers = 2.0 ** np.arange(-40, 6)
    values = -np.concatenate([random, powers, powers * (1 + 2**-23), np.arange(54) / 8])
    values = values.astype(np.float32)
    rows = "".join(f"{value!s}\tw{i}\t{value / 7!s}\n" for i, value in enumerate(values))
    text = f"\\data\\\nngram 1={len(values) + 2}\n\n\\1-grams:\n0\t<s>\n-1\t</s>\n{rows}\n\\end\\\n"
    levels, vocabulary = read_arpa(written(tmp_path / "a.arpa", text))
    write_arpa(tmp_path / "b.arpa", levels, vocabulary, Workspace())
    again, _ = read_arpa(tmp_path / "b.arpa")
    np.testing.assert_array_equal(levels[0].log10_probs[:], again[0].log10_probs[:])
    np.testing.assert_array_equal(levels[0].log10_probs[:][3:], values)


def test_the_logarithm_of_zero_is_what_srilm_writes_for_it(tmp_path: Path) -> None:
    text = KENLM.replace("-0.875\tb </s>", "-inf\tb </s>")
    levels, vocabulary = read_arpa(written(tmp_path / "lm.arpa", text))
    assert grams_of(levels, vocabulary)["b", "</s>"][0] == -99


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", "lm.arpa: is no ARPA file: it has no line \\data\\"),
        ("ngram 1=5", "ngram 2=5", 'lm.arpa:2: should read "ngram 1=..."'),
        ("ngram 2=3", "ngram 2=many", 'lm.arpa:3: should read "ngram 2=..."'),
        ("ngram 1=5\nngram 2=3\n", "", "lm.arpa:2: \\data\\ should be followed by"),
        ("\\1-grams:", "\\one-grams:", "lm.arpa:5: \\1-grams: should stand here"),
        ("-0.25\ta\t-0.125", "-0.25 a -0.125 7", "lm.arpa:9: has 4 fields: a 1-gram has"),
        ("-0.25\ta\t-0.125", "minus\ta\t-0.125", "lm.arpa:9: minus is not a number"),
        ("-0.25\ta\t-0.125", "-0.25\ta\tnan", "lm.arpa:9: nan is not a number"),
        ("-0.25\ta\t-0.125", "0.25\ta\t-0.125", "lm.arpa:9: the log-probability 0.25 is above 0"),
        ("-0.75\tb", "-0.75\ta", "lm.arpa:10: the word a comes twice"),
        ("0\t<s>\t-0.5\n", "-1\tx\n", "the 1-grams lack <s>"),
        ("-0.7\t</s>\t0\n", "-1\tx\n", "the 1-grams lack </s>"),
        ("-0.5\ta b", "-0.5\ta z", "lm.arpa:14: the word z is not among the 1-grams"),
        ("-0.5\ta b", "-0.5\ta", "lm.arpa:14: has 2 fields: a 2-gram has a log-probability, 2"),
        ("-0.5\ta b", "-0.5\ta b\t-0.1", "lm.arpa:14: an n-gram of the highest order cannot"),
        ("-0.875\tb </s>", "-0.875\ta b", 'lm.arpa:15: the n-gram "a b" comes twice'),
        ("-0.875\tb </s>\n", "", "the header announces 3 2-grams, but here are 2"),
        ("ngram 1=5", "ngram 1=6", "the header announces 6 1-grams, but here are 5"),
        ("\n\\end\\\n", "", "lm.arpa:15: \\end\\ should stand here: the file seems to be cut"),
        (KENLM[KENLM.index("\\2-grams") :], "", "\\2-grams: should stand here"),
        (KENLM, "", "lm.arpa: is no ARPA file"),
    ],
)
def test_broken_files_are_refused_by_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "lm.arpa", KENLM.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_arpa(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"mmap lm http://kheafield.com/code format version 5\n\0", "is a KenLM binary: give the"),
        (b"blmt 3 12 12 12\n", "is an IRSTLM binary: convert it with compile-lm"),
        (b"iARPA\n\n\\data\\\n", "is an iARPA file of IRSTLM: convert it"),
        (b"SRILM_BINARY_NGRAM_002\n", "is an SRILM binary: convert it with ngram"),
        (gzip.compress(KENLM.encode()), "is compressed by gzip: give it a name that ends in .gz"),
        (KENLM.encode().replace(b"b", b"\xff"), "words are not UTF-8"),
    ],
)
def test_other_kinds_of_files_are_refused_with_advice(
    data: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        NgramModel.load(path)


def test_a_cut_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa.gz"
    path.write_bytes(gzip.compress(KENLM.encode())[:-10])
    with pytest.raises(InputError, match="is not a complete gzip file"):
        read_arpa(path)
    with pytest.raises(InputError, match=r"none.arpa: no such file"):
        NgramModel.load(tmp_path / "none.arpa")


def test_sections_longer_than_a_block_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ds2.ngram.arpa_reader.BLOCK_BYTES", 64)
    model = build(tmp_path, GENESIS, EstimateConfig(3))
    write_arpa(tmp_path / "lm.arpa", model.levels(), model.vocabulary, Workspace())
    assert grams_in(NgramModel.load(tmp_path / "lm.arpa")) == grams_in(model)
    bad = (tmp_path / "lm.arpa").read_text().replace("\tlet there be\n", "\tlet there bee\n")
    line = 1 + bad[: bad.index("let there bee")].count("\n")
    with pytest.raises(InputError, match=rf":{line}: the word bee is not"):
        read_arpa(written(tmp_path / "lm.arpa", bad))


def test_unknown_words_cost_what_unk_has(tmp_path: Path) -> None:
    model = NgramModel.load(written(tmp_path / "lm.arpa", KENLM))
    log_prob, _ = model.score(model.word_id("zebra"), model.begin_state())
    assert log_prob == pytest.approx((-0.5 - 1.5) * math.log(10))
