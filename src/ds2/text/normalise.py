"""Raw transcripts to text in the alphabet's style, per language.

Nothing is dropped in silence: a character that stands for something said, and that has no known
reading, is kept, so that `ds2 check` reports it and training refuses it.
"""

import re
import unicodedata
from functools import cache
from typing import Any

from ds2.errors import InputError
from ds2.text.spacing import join_words
from ds2.text.spoken_english import spoken_english
from ds2.text.spoken_mandarin import spoken_mandarin

APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛ʼʹ′`´＇", "'"))

UNDECOMPOSED = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i"}
"""Latin letters that Unicode takes for letters of their own, not for accented ones."""

MEANINGFUL = set("[]{}#%&@*_\\")
"""Punctuation, to Unicode, that is no pause: marks of annotators, masked or spoken signs."""


def normalise(text: str, language: str) -> str:
    """A transcript as people write it, in the style of the language's alphabet.

    English ("en") is lower-case words of a to z, with apostrophes; accents are folded and
    numbers, money, times and signs spelt out. Mandarin ("zh") is simplified characters; numbers
    are read out, and only Latin words have spaces between them. Text that is in the style
    already stays as it is. Raises InputError for any other language.
    """
    if language == "en":
        styled = spoken_english(_folded(text))
        return " ".join(_without_punctuation(styled).split())
    if language == "zh":
        styled = spoken_mandarin(_simplified(_folded(text))).replace("〇", "零")
        return _simplified(join_words(_without_punctuation(styled).split(), language))
    raise InputError(f'language "{language}": it must be "en" or "zh"')


def _simplified(text: str) -> str:
    """Traditional characters as simplified ones, by the words they stand in.

    A simplified text is left alone: some of its words are also traditional ones, of other meaning.
    """
    return str(_simplifier().convert(text)) if any(map(_is_traditional, text)) else text


@cache
def _is_traditional(character: str) -> bool:
    return not character.isascii() and bool(_simplifier().convert(character) != character)


@cache
def _simplifier() -> Any:
    import opencc  # here, because it loads its dictionaries

    return opencc.OpenCC("t2s")


def _folded(text: str) -> str:
    """Lower case, half width, plain apostrophes, Latin letters without their accents."""
    text = re.sub(r"(?<=[0-9])(?=[¼-¾⅐-⅞])", " ", text.translate(APOSTROPHES))  # 2½ is not 21/2
    text = unicodedata.normalize("NFKC", text).translate(APOSTROPHES).casefold()
    if text.isascii():
        return text
    folded: list[str] = []
    for character in unicodedata.normalize("NFKC", text).translate(APOSTROPHES):
        base = unicodedata.normalize("NFD", character)[0]
        if base.isascii() and base.isalpha():
            folded.append(base)
        elif character in UNDECOMPOSED:
            folded.append(UNDECOMPOSED[character])
        elif not (unicodedata.category(character) == "Mn" and folded and folded[-1].isascii()):
            folded.append(character)
    return "".join(folded)


def _without_punctuation(text: str) -> str:
    """Pauses become spaces; apostrophes that belong to a word stay, quotation marks go.

    An apostrophe belongs to a word where it joins letters (don't) and where it ends a word (two
    weeks' pay, nothin'). At the end of a word it is a quotation mark if one was opened before it.
    """
    plain = "".join(map(_plain, text))
    is_open = False  # a quotation

    def replace(mark: re.Match[str]) -> str:
        nonlocal is_open
        before = plain[max(0, mark.start() - 1) : mark.start()]
        after = plain[mark.end() : mark.end() + 1]
        if re.match("[a-z]", after):
            is_open = True
        elif re.match("[a-z]", before) and is_open:
            is_open = False
        else:
            return "'" if re.match("[a-z]", before) else " "
        return " "

    return re.sub(r"(?<![a-z])'|'(?![a-z])", replace, plain)


@cache
def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if character in MEANINGFUL or character == "'":
        return character
    if category == "Cf":  # soft hyphens, joiners, marks of direction
        return ""
    return " " if category[0] in "PZ" or character in "~\t\n\r\v\f" else character
