"""Alphabets: text to labels and back; label 0 is the blank."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ds2.errors import InputError

LATIN = tuple("abcdefghijklmnopqrstuvwxyz' ")
"""What English is written in, and what Mandarin switches to for a foreign word."""


class UnspellableError(InputError):
    """A text holds characters that the alphabet lacks."""


@dataclass(frozen=True)
class Alphabet:
    """What a model can spell: symbol i has label i + 1.

    Raises ValueError for symbols that cannot be told apart or that are no characters.
    """

    kind: Literal["characters", "bigrams"]
    language: Literal["en", "zh"]
    symbols: tuple[str, ...]  # without the blank

    def __post_init__(self) -> None:
        if self.kind not in ("characters", "bigrams"):
            raise ValueError(f'kind: "{self.kind}": it must be "characters" or "bigrams"')
        if self.language not in ("en", "zh"):
            raise ValueError(f'language: "{self.language}": it must be "en" or "zh"')
        longest = 2 if self.kind == "bigrams" else 1
        for symbol, count in Counter(self.symbols).items():
            if not 1 <= len(symbol) <= longest:
                raise ValueError(f'symbols: "{symbol}": none can be {len(symbol)} characters long')
            if count > 1:
                raise ValueError(f'symbols: "{symbol}" stands there {count} times')

    def __len__(self) -> int:
        """V: the symbols and the blank."""
        return len(self.symbols) + 1

    @property
    def word_unit(self) -> Literal["word", "character"]:
        """What an error rate and a language model count: Mandarin is not written in words."""
        return "word" if self.language == "en" else "character"

    def encode(self, text: str) -> list[int]:
        """The labels of the text; raises UnspellableError that names what has none."""
        units = _pairs(text) if self.kind == "bigrams" else text
        try:
            return [self._labels[unit] for unit in units]
        except KeyError:
            named = " ".join(sorted(map(_visible, self.unspellable(text))))
            raise UnspellableError(f"the alphabet cannot spell {named}") from None

    def decode(self, labels: Iterable[int]) -> str:
        """The text of labels, none of which is the blank; the inverse of `encode`."""
        return "".join(self._texts[label] for label in labels)

    def unspellable(self, text: str) -> set[str]:
        """The characters (in rare alphabets, the bigrams) of the text that have no label."""
        missing = set(text).difference(self._labels)
        if not missing and self.kind == "bigrams":
            return set(_pairs(text)).difference(self._labels)
        return missing

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
        """The inverse of `to_dict`; raises InputError for data that is no alphabet."""
        if not isinstance(data, Mapping):
            raise InputError("alphabet: it must be an object with kind, language and symbols")
        missing = {"kind", "language", "symbols"} - set(data)
        if missing:
            raise InputError(f"alphabet: {min(missing)} is missing")
        symbols = data["symbols"]
        if not isinstance(symbols, list | tuple) or not all(isinstance(s, str) for s in symbols):
            raise InputError("alphabet: symbols: it must be a list of strings")
        try:
            return cls(data["kind"], data["language"], tuple(symbols))
        except ValueError as error:
            raise InputError(f"alphabet: {error}") from None


def english_characters() -> Alphabet:
    """a to z, apostrophe and space: with the blank, 29 labels (section 3.2 of the paper)."""
    return Alphabet("characters", "en", LATIN)


def english_bigrams() -> Alphabet:
    """The pairs that non-overlapping bigrams cut words into (section 3.3 of the paper).

    All 27 x 27 pairs of letters and apostrophe, not only those seen in some texts: any word can
    be spelt, and models trained on different texts share their labels. The 27 characters alone
    end words of odd length. Space is always alone, so no label spans two words.
    """
    units = [unit for unit in LATIN if unit != " "]
    pairs = (first + second for first in units for second in units)
    return Alphabet("bigrams", "en", (*LATIN, *pairs))


def mandarin_characters(texts: Iterable[str], min_count: int = 1) -> Alphabet:
    """The characters that stand in the texts at least `min_count` times, in code point order.

    Latin letters, apostrophe and space are always there, first, for words of other languages.
    The texts must be normalised: whatever stands in them becomes a label.
    """
    counts = Counter(character for text in texts for character in text)
    frequent = sorted(character for character, count in counts.items() if count >= min_count)
    return Alphabet("characters", "zh", tuple(dict.fromkeys([*LATIN, *frequent])))


def _pairs(text: str) -> list[str]:
    """ "the cat sat" -> th, e, space, ca, t, space, sa, t."""
    units: list[str] = []
    for index, word in enumerate(text.split(" ")):
        if index:
            units.append(" ")
        units += [word[start : start + 2] for start in range(0, len(word), 2)]
    return units


def _visible(unit: str) -> str:
    """The unit itself, or its code points if it would not show on a terminal."""
    if unit.isprintable() and unit != " ":
        return unit
    return "".join(f"U+{ord(character):04X}" for character in unit)
