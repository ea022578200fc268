"""The alphabet of a corpus: the letters of its texts, and the characters that are not letters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ds2.errors import InputError
from ds2.manifest import Utterance
from ds2.text.alphabet import Alphabet, alphabet_of
from ds2.text.language import language_of_name
from ds2.text.normalise import normalise


@dataclass(frozen=True)
class Outside:
    """A character of the texts that is not in the alphabet."""

    character: str
    count: int
    where: str  # the first utterance that has it


@dataclass(frozen=True)
class Spelling:
    """An alphabet, and how well it fits the texts that it comes from."""

    alphabet: Alphabet
    counts: dict[str, int]  # of each symbol in the texts, rarest first
    outside: list[Outside]  # most common first
    num_texts: int  # utterances with a text
    num_spelt: int  # texts that the alphabet can spell


def spelling_of(utterances: Sequence[Utterance], language: str, min_count: int = 1) -> Spelling:
    """The alphabet of the utterances' texts after normalising.

    Raises InputError if no utterance has a text.
    """
    texts = [normalise(utterance.text or "", language) for utterance in utterances]
    if not any(texts):
        raise InputError("no utterance has a text: add texts, because an alphabet comes from texts")
    alphabet = alphabet_of(texts, language, min_count)
    counts = Counter(character for text in texts for character in text)
    missing = alphabet.unspellable("".join(texts))
    firsts: dict[str, str] = {}
    num_spelt = 0
    for utterance, text in zip(utterances, texts, strict=True):
        here = missing.intersection(text)
        num_spelt += bool(text) and not here
        for character in here:
            firsts.setdefault(character, utterance.where)
    rare = sorted(alphabet.symbols, key=lambda symbol: (counts[symbol], symbol))
    return Spelling(
        alphabet=alphabet,
        counts={symbol: counts[symbol] for symbol in rare},
        outside=[Outside(c, n, firsts[c]) for c, n in counts.most_common() if c in missing],
        num_texts=sum(map(bool, texts)),
        num_spelt=num_spelt,
    )


def language_of_all(utterances: Iterable[Utterance]) -> str:
    """The one language that the manifests name. Raises InputError if they name none or several."""
    named = {language_of_name(utterance.language or "") for utterance in utterances} - {None}
    if len(named) == 1:
        return str(named.pop())
    there = f"the manifests name {', '.join(sorted(map(str, named)))}" if named else "none is named"
    raise InputError(f"the language of the texts is not clear ({there}): add --language CODE")
