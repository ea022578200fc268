"""Alphabets: decoding gives back the text, and errors name characters without a label."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.text.alphabet import (
    Alphabet,
    UnspellableError,
    alphabet_of,
    english_bigrams,
    english_characters,
    mandarin_characters,
)

CHARACTERS = english_characters()
BIGRAMS = english_bigrams()
MANDARIN = mandarin_characters(["今天天气很好", "我们去公园走走吧"])

english_texts = st.text(alphabet="abz' ")


def test_english_has_the_29_labels_of_the_paper() -> None:
    assert len(CHARACTERS) == 29
    assert CHARACTERS.encode("az' ") == [1, 26, 27, 28]


def test_bigrams_cut_words_in_pairs_from_their_start() -> None:
    labels = BIGRAMS.encode("the cat sat")
    symbols = [BIGRAMS.symbols[label - 1] for label in labels]
    assert symbols == ["th", "e", " ", "ca", "t", " ", "sa", "t"]


def test_bigrams_are_all_pairs_and_all_characters_and_the_blank() -> None:
    assert len(BIGRAMS) == 27 * 27 + 27 + 1 + 1
    assert not any(" " in symbol for symbol in BIGRAMS.symbols if len(symbol) == 2)


@pytest.mark.parametrize("alphabet", [CHARACTERS, BIGRAMS], ids=lambda a: a.kind)
@settings(deadline=None)
@given(text=english_texts)
def test_a_text_is_spelt_and_read_back(alphabet: Alphabet, text: str) -> None:
    labels = alphabet.encode(text)
    assert alphabet.decode(labels) == text
    assert all(0 < label < len(alphabet) for label in labels)


@settings(deadline=None)
@given(text=english_texts)
def test_no_bigram_label_spans_two_words(text: str) -> None:
    spelt = [BIGRAMS.encode(word) for word in text.split(" ")]
    space = BIGRAMS.encode(" ")
    joined = [label for word in spelt for label in (*space, *word)][1:]
    assert BIGRAMS.encode(text) == joined


@settings(deadline=None)
@given(texts=st.lists(st.text()), min_count=st.integers(1, 3))
def test_mandarin_spells_what_it_was_built_from(texts: list[str], min_count: int) -> None:
    alphabet = mandarin_characters(texts, min_count)
    everything = "".join(texts)
    for text in texts:
        rare = {c for c in text if everything.count(c) < min_count and c not in CHARACTERS.symbols}
        assert alphabet.unspellable(text) == rare
        if not rare:
            assert alphabet.decode(alphabet.encode(text)) == text


def test_mandarin_always_spells_latin_words() -> None:
    assert MANDARIN.decode(MANDARIN.encode("it's ok 天")) == "it's ok 天"
    assert mandarin_characters([]).symbols == CHARACTERS.symbols


def test_an_extended_alphabet_keeps_its_labels_and_gets_new_ones_at_its_end() -> None:
    old, new = mandarin_characters(["天气好"]), mandarin_characters(["天一早"])
    extended = old.extended(new)
    assert extended.symbols == (*old.symbols, "一", "早")
    assert extended.extended(old) == extended
    assert CHARACTERS.extended(new) == new  # labels of another language mean something else
    assert CHARACTERS.extended(BIGRAMS) == BIGRAMS


def test_mandarin_labels_do_not_depend_on_the_order_of_the_texts() -> None:
    assert mandarin_characters(["好天", "天气"]) == mandarin_characters(["气天", "天好"])


@pytest.mark.parametrize("alphabet", [CHARACTERS, BIGRAMS], ids=lambda a: a.kind)
def test_what_cannot_be_spelt_is_named(alphabet: Alphabet) -> None:
    with pytest.raises(UnspellableError, match=r"the alphabet cannot spell 4 H U\+0009 é$"):
        alphabet.encode("Hé\t 4")
    assert alphabet.unspellable("Hé 4") == {"H", "é", "4"}


def test_a_missing_bigram_is_named_as_such() -> None:
    alphabet = Alphabet("bigrams", "en", ("a", "b", "ba", " "))
    assert alphabet.unspellable("ba ab") == {"ab"}
    with pytest.raises(UnspellableError, match=r"cannot spell ab$"):
        alphabet.encode("ba ab")


@pytest.mark.parametrize("alphabet", [CHARACTERS, BIGRAMS, MANDARIN], ids=len)
def test_plain_data_gives_the_alphabet_back(alphabet: Alphabet) -> None:
    assert Alphabet.from_dict(alphabet.to_dict()) == alphabet


def test_english_counts_words_and_mandarin_characters() -> None:
    assert CHARACTERS.word_unit == "word"
    assert MANDARIN.word_unit == "character"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "phones"}, 'alphabet: kind: "phones": it must be "characters" or "bigrams"'),
        (
            {"language": "French"},
            'alphabet: language "French": it must be a code of two or three small letters, '
            "such as fr",
        ),
        (
            {"language": ""},
            'alphabet: language "": it must be a code of two or three small letters, such as en, '
            "zh, de or ru",
        ),
        ({"language": 1}, "alphabet: language: it must be a code such as en, zh or de"),
        (
            {"kind": "bigrams", "language": "de"},
            'alphabet: kind: "bigrams" are for English, not for "de"',
        ),
        ({"symbols": ["a", "a"]}, 'alphabet: symbols: "a" appears 2 times'),
        ({"symbols": ["ab"]}, 'alphabet: symbols: "ab": it cannot have 2 characters'),
        ({"symbols": [""]}, 'alphabet: symbols: "": it cannot have 0 characters'),
        ({"symbols": [1]}, "alphabet: symbols: it must be a list of strings"),
        ({"symbols": "ab"}, "alphabet: symbols: it must be a list of strings"),
    ],
)
def test_what_is_no_alphabet_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Alphabet.from_dict(CHARACTERS.to_dict() | change)
    assert str(error.value) == message


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match=r"^alphabet: symbols is missing$"):
        Alphabet.from_dict({"kind": "characters", "language": "en"})


def test_other_languages_are_spelt_in_the_letters_of_their_texts() -> None:
    german = alphabet_of(["über straße", "geht's 5 %"], "de")
    assert german.symbols == (" ", *"'abeghrstßü")
    assert german.word_unit == "word"
    assert german.unspellable("5 %") == {"5", "%"}
    assert alphabet_of(["über", "über", "ça"], "de", 2).symbols == (" ", *"berü")
    japanese = alphabet_of(["日本", "カフェ"], "ja")
    assert japanese.symbols == tuple("ェカフ日本")
    assert japanese.word_unit == "character"
    assert alphabet_of(["हिन्दी में"], "hi").unspellable("हिन्दी में") == set()
    assert alphabet_of(["x"], "en") == CHARACTERS


def test_an_alphabet_is_read_from_its_file_and_from_a_bundle(tmp_path: Path) -> None:
    german = alphabet_of(["über"], "de")
    for name, data in (("a.json", german.to_dict()), ("b.json", {"alphabet": german.to_dict()})):
        (tmp_path / name).write_text(json.dumps(data), encoding="utf-8")
        assert Alphabet.load(tmp_path / name) == german
    (tmp_path / "c.json").write_text("{", encoding="utf-8")
    for name, message in (
        ("c.json", "c.json: is not a JSON file"),
        ("d.json", "d.json: no such file: `ds2 corpus alphabet` makes one"),
    ):
        with pytest.raises(InputError, match=message):
            Alphabet.load(tmp_path / name)
