"""Normalisation: from raw transcripts to text in the style of the language's alphabet.

No spoken character is lost silently. If a character stands for something that was said and has no
known reading, it stays. Then `ds2 check` reports it and training refuses it.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

from ds2.text.alphabet import is_letter
from ds2.text.language import check_language
from ds2.text.spacing import join_words
from ds2.text.spoken_english import spoken_english
from ds2.text.spoken_mandarin import spoken_mandarin
from ds2.text.unicode_rules import JOINERS, without_stray_joiners, written_alike

APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛ʼʹ′`´＇", "'"))

UNDECOMPOSED = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i"}
"""Latin letters that Unicode does not treat as accented letters."""

MEANINGFUL = set("[]{}#%&@*_\\")
"""Unicode's punctuation that is not a pause: marks of annotators, masked or spoken signs."""


SIGNS = "§‰‱٪؉"
"""More such punctuation, for languages whose signs ds2 cannot read."""

BETWEEN_LETTERS = "·״" + JOINERS
"""Characters that belong to a word only inside it, as in Catalan's col·lega."""


def normalise(text: str, language: str) -> str:
    """Bring a transcript, as people write it, to the style of the language's alphabet.

    English ("en") becomes lower-case words of a to z with apostrophes. Accents are folded, and
    numbers, money, times and signs are spelt out. Mandarin ("zh") becomes simplified characters.
    Numbers are spelt out, and only Latin words have spaces between them. Any other language is
    written in small letters, composed (NFC), without punctuation. Its accents stay. Digits and
    signs stay, too, because ds2 cannot read them. Text in this style does not change.
    Raises InputError if `language` is not a language code.
    """
    if language == "en":
        styled = spoken_english(_folded(text))
        return " ".join(_without_punctuation(styled, _is_plain_latin).split())
    if language == "zh":
        styled = spoken_mandarin(_simplified(_folded(text))).replace("〇", "零")
        words = _without_punctuation(styled, _is_plain_latin).split()
        return _simplified(join_words(words, language))
    styled = written_alike(text.translate(APOSTROPHES), check_language(language))
    while (simpler := _in_letters(styled, language)) != styled:
        styled = simpler  # without a space, its neighbours meet: look again
    return styled


def _in_letters(text: str, language: str) -> str:
    text = _without_punctuation(text, is_letter, BETWEEN_LETTERS, SIGNS)
    text = join_words(without_stray_joiners(text).split(), language)
    return unicodedata.normalize("NFC", text)


def folded_letters(text: str) -> set[str]:
    """The letters of the text that the English style replaces: é by e, ß by ss."""
    if text.isascii():
        return set()
    lower = unicodedata.normalize("NFC", text).lower()
    return {
        character
        for character in lower
        if not character.isascii() and is_letter(character) and _folded(character).isascii()
    }


def _simplified(text: str) -> str:
    """The text with traditional characters made simplified, by the words that contain them.

    A simplified text stays as it is: some of its words also exist in traditional characters, with
    another meaning.
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
    """The text in lower case and half width, with plain apostrophes, without Latin accents."""
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


def _without_punctuation(
    text: str, is_letter: Callable[[str], bool], joining: str = "", meaningful: str = ""
) -> str:
    """The text with spaces for pauses, with the apostrophes of words, without quotation marks.

    An apostrophe belongs to a word if it joins letters (don't) or ends a word (two weeks' pay,
    nothin'). At the end of a word it is a quotation mark if a quotation is open.

    joining: other characters that stay where they join letters.
    meaningful: characters that always stay.
    """
    plain = "".join(c if c in joining or c in meaningful else _plain(c) for c in text)
    is_open = False  # whether a quotation is open

    def replace(mark: re.Match[str]) -> str:
        nonlocal is_open
        before = plain[max(0, mark.start() - 1) : mark.start()]
        after = plain[mark.end() : mark.end() + 1]
        has_before, has_after = (bool(each) and is_letter(each) for each in (before, after))
        if has_before and has_after:
            return mark[0]
        if mark[0] in JOINERS:
            return ""
        if mark[0] != "'":
            return " "
        if has_after:
            is_open = True
        elif has_before and is_open:
            is_open = False
        else:
            return "'" if has_before else " "
        return " "

    return re.sub(f"['{joining}]", replace, plain)


def _is_plain_latin(character: str) -> bool:
    return "a" <= character <= "z"


@cache
def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if character in MEANINGFUL or character == "'":
        return character
    if category == "Cf":  # soft hyphens, joiners, marks of direction
        return ""
    return " " if category[0] in "PZ" or character in "~\t\n\r\v\f" else character
