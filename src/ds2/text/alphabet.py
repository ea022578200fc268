"""Alphabets: text to labels and back; label 0 is the blank."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ds2.errors import InputError
from ds2.text.language import check_language
from ds2.text.spacing import is_spaced

LATIN = tuple("abcdefghijklmnopqrstuvwxyz' ")
"""The characters of English. Mandarin texts write foreign words with them, too."""

BESIDE_LETTERS = "'·״\u200c\u200d"
"""Characters in words that are not letters: Catalan's dot, Hebrew's mark, joiners of scripts."""


class UnspellableError(InputError):
    """A text contains characters that the alphabet lacks."""


@dataclass(frozen=True)
class Alphabet:
    """The symbols that a model can spell: symbol i has label i + 1.

    Raises ValueError for equal symbols, and for symbols that are not characters.
    """

    kind: Literal["characters", "bigrams"]
    language: str  # the language code: "en", "zh", "de"
    symbols: tuple[str, ...]  # without the blank

    def __post_init__(self) -> None:
        if self.kind not in ("characters", "bigrams"):
            raise ValueError(f'kind: "{self.kind}": it must be "characters" or "bigrams"')
        check_language(self.language)
        if self.kind == "bigrams" and self.language != "en":
            raise ValueError(f'kind: "bigrams" are for English, not for "{self.language}"')
        longest = 2 if self.kind == "bigrams" else 1
        for symbol, count in Counter(self.symbols).items():
            if not 1 <= len(symbol) <= longest:
                raise ValueError(f'symbols: "{symbol}": it cannot have {len(symbol)} characters')
            if count > 1:
                raise ValueError(f'symbols: "{symbol}" appears {count} times')

    def __len__(self) -> int:
        """V, the number of labels: the symbols and the blank."""
        return len(self.symbols) + 1

    @property
    def word_unit(self) -> Literal["word", "character"]:
        """The unit of error rates and language models; Mandarin has no spaces between words."""
        return "word" if is_spaced(self.language) else "character"

    def encode(self, text: str) -> list[int]:
        """The labels of the text; raises UnspellableError that names characters without one."""
        units = _pairs(text) if self.kind == "bigrams" else text
        try:
            return [self._labels[unit] for unit in units]
        except KeyError:
            raise UnspellableError(
                f"the alphabet cannot spell {visible(self.unspellable(text))}"
            ) from None

    def decode(self, labels: Iterable[int]) -> str:
        """The text of labels without the blank; the inverse of `encode`."""
        return "".join(self._texts[label] for label in labels)

    def unspellable(self, text: str) -> set[str]:
        """The characters (in rare alphabets, the bigrams) of the text that have no label."""
        missing = set(text).difference(self._labels)
        if not missing and self.kind == "bigrams":
            return set(_pairs(text)).difference(self._labels)
        return missing

    def extended(self, other: "Alphabet") -> "Alphabet":
        """This alphabet with the other one's new symbols at its end.

        If their languages or kinds differ, it is the other one, because their
        labels have no common meaning.
        """
        if (self.language, self.kind) != (other.language, other.kind):
            return other
        return replace(self, symbols=tuple(dict.fromkeys((*self.symbols, *other.symbols))))

    @cached_property
    def _labels(self) -> dict[str, int]:
        return {symbol: label for label, symbol in enumerate(self.symbols, 1)}

    @cached_property
    def _texts(self) -> dict[int, str]:
        return dict(enumerate(self.symbols, 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a bundle or a checkpoint."""
        return {"kind": self.kind, "language": self.language, "symbols": list(self.symbols)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Alphabet":
        """The inverse of `to_dict`; raises InputError for data that is not an alphabet."""
        if not isinstance(data, Mapping):
            raise InputError("alphabet: it must be an object with kind, language and symbols")
        missing = {"kind", "language", "symbols"} - set(data)
        if missing:
            raise InputError(f"alphabet: {min(missing)} is missing")
        symbols = data["symbols"]
        if not isinstance(symbols, list | tuple) or not all(isinstance(s, str) for s in symbols):
            raise InputError("alphabet: symbols: it must be a list of strings")
        if not isinstance(data["language"], str):
            raise InputError("alphabet: language: it must be a code such as en, zh or de")
        try:
            return cls(data["kind"], data["language"], tuple(symbols))
        except ValueError as error:
            raise InputError(f"alphabet: {error}") from None

    @classmethod
    def load(cls, path: Path) -> "Alphabet":
        """The alphabet in a JSON file, which may be a bundle.json. Raises InputError."""
        try:
            data = json.loads(path.read_bytes())  # in UTF-8, 16 or 32, with or without a mark
        except FileNotFoundError:
            raise InputError(f"{path}: no such file: `ds2 corpus alphabet` makes one") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: is not a JSON file: {error}") from None
        if isinstance(data, dict):
            data = data.get("alphabet", data)
        try:
            return cls.from_dict(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def english_characters() -> Alphabet:
    """a to z, apostrophe and space: with the blank, 29 labels (section 3.2 of the paper)."""
    return Alphabet("characters", "en", LATIN)


def english_bigrams() -> Alphabet:
    """The non-overlapping bigrams that words are cut into (section 3.3 of the paper).

    It has all 27 x 27 pairs of letters and apostrophe, not only the pairs in some texts. Therefore
    it can spell any word, and models trained on different texts share their labels. A single
    character ends a word of odd length. Space is always alone, so no label spans two words.
    """
    units = [unit for unit in LATIN if unit != " "]
    pairs = (first + second for first in units for second in units)
    return Alphabet("bigrams", "en", (*LATIN, *pairs))


def mandarin_characters(texts: Iterable[str], min_count: int = 1) -> Alphabet:
    """The characters that appear in the texts at least `min_count` times, in code point order.

    Latin letters, apostrophe and space always come first, for words of other languages.
    The texts must be normalised, because all their characters become labels.
    """
    counts = Counter(character for text in texts for character in text)
    frequent = sorted(character for character, count in counts.items() if count >= min_count)
    return Alphabet("characters", "zh", tuple(dict.fromkeys([*LATIN, *frequent])))


def letters_of(texts: Iterable[str], language: str, min_count: int = 1) -> Alphabet:
    """The alphabet of any other language: the characters of its texts, in code point order.

    These are all letters, marks, joiners and the apostrophe, if they appear in the texts at least
    `min_count` times. ds2 does not know which words a speaker says for digits and signs, so these
    get no label, and a text with one of them is refused by name. A space comes first if the
    language has words or the texts have spaces.
    The texts must be normalised.
    """
    counts = Counter(character for text in texts for character in text)
    letters = sorted(
        character
        for character, count in counts.items()
        if count >= min_count and (is_letter(character) or character in BESIDE_LETTERS)
    )
    space = [" "] if is_spaced(language) or counts[" "] else []
    return Alphabet("characters", language, (*space, *letters))


def alphabet_of(texts: Iterable[str], language: str, min_count: int = 1) -> Alphabet:
    """The alphabet of a language's normalised texts; for English it does not depend on texts."""
    if language == "en":
        return english_characters()
    if language == "zh":
        return mandarin_characters(texts, min_count)
    return letters_of(texts, language, min_count)


def is_letter(character: str) -> bool:
    """Whether the character is a letter, or a mark that belongs to a letter."""
    return unicodedata.category(character)[0] in "LM"


def _pairs(text: str) -> list[str]:
    """ "the cat sat" -> th, e, space, ca, t, space, sa, t."""
    units: list[str] = []
    for index, word in enumerate(text.split(" ")):
        if index:
            units.append(" ")
        units += [word[start : start + 2] for start in range(0, len(word), 2)]
    return units


def visible(units: Iterable[str]) -> str:
    """The units in a row, sorted; code points stand for units that a terminal would not show."""
    return " ".join(sorted(map(_visible, units)))


def _visible(unit: str) -> str:
    """The unit itself, or its code points if a terminal would not show it."""
    if unit.isprintable() and unit != " " and not unicodedata.combining(unit[0]):
        return unit
    return "".join(f"U+{ord(character):04X}" for character in unit)
