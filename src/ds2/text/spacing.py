"""Spaces in texts: between all words, or in Mandarin only between Latin words.

All that this file says about Mandarin is true for every language that is written without spaces.
"""

import re
from collections.abc import Iterable

from ds2.text.language import UNSPACED


def is_spaced(language: str) -> bool:
    """Whether spaces separate all words of the language; in Mandarin, only Latin words."""
    return language not in UNSPACED


def needs_space(before: str, after: str, language: str) -> bool:
    """Whether two neighbouring words need a space between them.

    Without it they would look like one word. An empty word needs no space.
    """
    if not before or not after:
        return False
    return is_spaced(language) or (before[-1] + after[0]).isascii()


def join_words(words: Iterable[str], language: str) -> str:
    """A text of words or of longer pieces, with only the spaces that it needs."""
    text = ""
    for word in words:
        text += " " * needs_space(text, word, language) + word
    return text


def split_words(text: str, language: str) -> list[str]:
    """The words of a text; in Mandarin these are single characters and Latin words."""
    if is_spaced(language):
        return text.split()
    return [word for part in text.split() for word in re.findall(r"[\x00-\x7f]+|.", part)]
