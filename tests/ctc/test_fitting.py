"""Language models that would leave no text."""

import logging
from pathlib import Path

import pytest

from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.fitting import fitted
from ds2.errors import InputError
from ds2.ngram.model import NgramModel
from ds2.text.alphabet import english_characters

ALPHABET = english_characters()


def model_of(tmp_path: Path, *words: str) -> NgramModel:
    lines = "".join(f"-1.0\t{word}\n" for word in ("<unk>", "<s>", "</s>", *words))
    path = tmp_path / "lm.arpa"
    path.write_text(f"\\data\\\nngram 1={len(words) + 3}\n\n\\1-grams:\n{lines}\n\\end\\\n")
    return NgramModel.load(path, "word")


def test_capitals_are_taken_in_small_letters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_of(tmp_path, "HELLO", "WORLD", "DON'T")
    with caplog.at_level(logging.INFO, "ds2.ngram"):
        fit = fitted(model, ALPHABET)
    assert fit.vocabulary == ["<unk>", "<s>", "</s>", "hello", "world", "don't"]
    assert fit.word_id("world") == model.word_id("WORLD") != 0
    assert [record.getMessage() for record in caplog.records] == [
        "lm.arpa: its words are in capitals: they are taken in small letters"
    ]
    assert (BeamSearch(ALPHABET, lm=model).lm or model).vocabulary == fit.vocabulary


def test_a_model_that_fits_stays_as_it_is(tmp_path: Path) -> None:
    for words in (("hello", "world"), ("hello", "World", "NATO"), ("caf\u00e9", "hello")):
        model = model_of(tmp_path, *words)
        assert fitted(model, ALPHABET) is model


def test_a_model_of_which_nothing_can_be_spelt_is_refused(tmp_path: Path) -> None:
    model = model_of(tmp_path, "\u043f\u0440\u0438\u0432\u0435\u0442", "\u043c\u0438\u0440")
    with pytest.raises(InputError, match=r"lm\.arpa: the model can spell none of its 2 words"):
        BeamSearch(ALPHABET, lm=model)
