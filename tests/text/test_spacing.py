"""Spaces between words: one rule, for whole texts and for texts that come in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.text.spacing import join_words, needs_space, split_words

mixed = st.text("ab' 你好")


@pytest.mark.parametrize(
    ("words", "language", "text"),
    [
        (["the", "cat"], "en", "the cat"),
        (["你", "好"], "zh", "你好"),
        (["你", "ok", "go", "好"], "zh", "你ok go好"),
        (["", "ok", "", "go"], "zh", "ok go"),
        (["你", "好"], "en", "你 好"),
        (["für", "über", "äpfel"], "de", "für über äpfel"),
        (["今日", "は", "ok", "go"], "ja", "今日はok go"),
    ],
)
def test_texts_by_hand(words: list[str], language: str, text: str) -> None:
    assert join_words(words, language) == text


@given(mixed, st.sampled_from(["en", "zh"]))
def test_splitting_and_joining_keep_all_but_spaces_that_are_not_needed(
    text: str, language: str
) -> None:
    words = split_words(text, language)
    tidy = join_words(words, language)
    assert "".join(words) == "".join(text.split())
    assert split_words(tidy, language) == words
    assert join_words(split_words(tidy, language), language) == tidy


@given(mixed)
def test_a_mandarin_text_has_spaces_between_latin_words_alone(text: str) -> None:
    tidy = join_words(split_words(text, "zh"), "zh")
    for before, space, after in zip(tidy, tidy[1:], tidy[2:], strict=False):
        assert space != " " or (before + after).isascii()


@given(mixed, st.integers(0, 20), st.sampled_from(["en", "zh"]))
def test_what_is_joined_goes_on_from_what_was(text: str, cut: int, language: str) -> None:
    words = split_words(text, language)
    first, rest = join_words(words[:cut], language), join_words(words[cut:], language)
    assert join_words(words, language).startswith(first)
    assert join_words([first, rest], language) == join_words(words, language)


def test_nothing_is_parted_from_nothing() -> None:
    assert not needs_space("", "a", "en")
    assert not needs_space("a", "", "zh")
