"""Where a text has spaces: between words; in Mandarin, between Latin words alone.

What is said of Mandarin here goes for every language that is written without spaces.
"""

import re
from collections.abc import Iterable

from ds2.text.language import UNSPACED


def is_spaced(language: str) -> bool:
    """Whether spaces part all words of the language. In Mandarin they part Latin words alone."""
    return language not in UNSPACED


def needs_space(before: str, after: str, language: str) -> bool:
    """Whether a space must part two words, the second right after the first.

    Without it they would read as one. There is nothing to part if one of them is empty.
    """
    if not before or not after:
        return False
    return is_spaced(language) or (before[-1] + after[0]).isascii()


def join_words(words: Iterable[str], language: str) -> str:
    """A text of words or of longer pieces, with the spaces that it needs and no others."""
    text = ""
    for word in words:
        text += " " * needs_space(text, word, language) + word
    return text


def split_words(text: str, language: str) -> list[str]:
    """The words of a text; in Mandarin these are single characters and Latin words."""
    if is_spaced(language):
        return text.split()
    return [word for part in text.split() for word in re.findall(r"[\x00-\x7f]+|.", part)]
