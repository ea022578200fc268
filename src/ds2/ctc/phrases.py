"""Hot phrases: words that a speaker is likely to say, and how much they add to a score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.ctc.trie import Trie, trie_of
from ds2.errors import InputError
from ds2.text.alphabet import Alphabet
from ds2.text.normalise import normalise

BORDER = " "
"""The border between words; it also stands at both ends of a phrase of words."""
MOST_PHRASES = 5000
LONGEST_PHRASE = 100
"""In letters. Within these limits the phrases of a stream cost a few megabytes and tens of ms."""
LONGEST_TEXT = 10 * LONGEST_PHRASE
"""In characters as the user writes them, before ds2 leaves out those that are no letters."""
MOST_LETTERS = 100_000
"""The limit for all phrases together."""
HOTTEST = 100.0
"""The largest weight, a natural logarithm. A larger one would outweigh any sound."""


@dataclass(frozen=True, slots=True)
class HotPhrase:
    """Words that the search prefers or, with a weight below 0, avoids.

    In English a phrase counts where it stands between word borders. In Mandarin it counts anywhere.
    Each complete phrase adds its weight, a natural logarithm, to the hypothesis' score. While a
    phrase is under way, the search lends the hypothesis a share of the weight. It takes the share
    back if the text goes on in another way.
    """

    text: str
    weight: float = 5.0  # 5: as if the phrase were e^5 times as likely

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(f"weight: must be a finite number, not {self.weight}")
        if abs(self.weight) > HOTTEST:
            told = f"must be from {-HOTTEST:g} to {HOTTEST:g}, not {self.weight:g}"
            raise ValueError(f"weight: {told}")


Phrase: TypeAlias = HotPhrase | str | tuple[str, float]
"""A phrase as callers write it: with its weight, or without it for the default weight."""


def hot_phrase(phrase: Phrase) -> HotPhrase:
    """The phrase that a caller means. Raises InputError."""
    if isinstance(phrase, HotPhrase):
        return phrase
    if isinstance(phrase, str):
        return HotPhrase(phrase)
    try:
        text, weight = phrase
        return HotPhrase(_text(text), float(weight))
    except (TypeError, ValueError) as error:
        told = 'write "New York", or ("New York", 5.0) with a weight'
        if str(error).startswith("weight: "):
            told = str(error)
        raise InputError(f"hot phrase {phrase!r}: {told}") from None


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError
    return given


def hot_phrases(phrases: Sequence[Phrase]) -> tuple[HotPhrase, ...]:
    """The phrases that a caller means. Raises InputError."""
    if isinstance(phrases, str):  # each of its letters would be a phrase
        raise InputError(f'hot phrases: are a list: write ["{phrases}"]')
    return tuple(map(hot_phrase, phrases))


def spelt_phrases(phrases: Sequence[HotPhrase], alphabet: Alphabet) -> dict[str, float]:
    """The phrases in the alphabet's spelling, and their weights.

    Raises InputError for too many phrases, and for a phrase that is empty, too long or there twice,
    or that the alphabet cannot spell.
    """
    if len(phrases) > MOST_PHRASES:
        told = f"there are {len(phrases)}, and {MOST_PHRASES} is the most: leave some out"
        raise InputError(f"hot phrases: {told}")
    spelt: dict[str, float] = {}
    num_letters = 0
    letters = {*"".join(alphabet.symbols)}
    for phrase in phrases:
        if len(phrase.text) > LONGEST_TEXT:
            raise _too_long(phrase.text)
        text = normalise(phrase.text, alphabet.language)
        if alphabet.word_unit == "character":
            text = "".join(text.split())
        if not text:
            raise InputError(f'hot phrase "{phrase.text}": holds no words')
        if len(text) > LONGEST_PHRASE:
            raise _too_long(phrase.text)
        missing = {*text} - letters
        if missing:
            named = " ".join(sorted(missing))
            raise InputError(f'hot phrase "{phrase.text}": the model cannot spell {named}')
        if text in spelt:
            raise InputError(f'hot phrase "{phrase.text}": stands there twice')
        spelt[text] = phrase.weight
        num_letters += len(text)
    if num_letters > MOST_LETTERS:
        told = f"have {num_letters} letters, and {MOST_LETTERS} is the most: leave some out"
        raise InputError(f"hot phrases: {told}")
    return spelt


def _too_long(text: str) -> InputError:
    told = f"is longer than {LONGEST_PHRASE} letters: name its rare words alone"
    return InputError(f'hot phrase "{text[:40]}...": {told}')


@dataclass(frozen=True)
class PhraseTables:
    """An Aho-Corasick automaton over characters, as flat arrays.

    A state is a node of the phrases' trie: the longest end of the text that begins a phrase. If no
    phrase goes on with the next letter, a shorter end of the text may still begin one.
    """

    classes: Mapping[str, int]  # of the characters that stand in phrases; all others are class 0
    first_child: npt.NDArray[np.int32]  # (S + 1,) as in `Trie`
    letters: npt.NDArray[np.int32]  # (S,) the class of the letter that leads to a state
    shorter: npt.NDArray[np.int32]  # (S,) the next shorter end of the text that is a state
    rewards: npt.NDArray[np.float64]  # (S,) weights of the phrases that end on reaching a state
    loans: npt.NDArray[np.float64]  # (S,) the share lent for what is under way
    first_state: int
    max_gain: float  # the most that one character can add to a score


def phrase_tables(weights: Mapping[str, float], *, of_words: bool) -> PhraseTables:
    """The automaton of spelt phrases. of_words: whether they stand between word borders."""
    border = BORDER if of_words else ""
    patterns = [border + text + border for text in weights]
    letters = sorted({*border, *"".join(patterns)})
    classes = {letter: index for index, letter in enumerate(letters, 1)}
    lengths = np.array([len(pattern) for pattern in patterns], np.int64)
    codes = np.array([classes[letter] for pattern in patterns for letter in pattern], np.int32)
    trie = trie_of(codes, lengths)
    rewards, loans = np.zeros(trie.num_nodes), np.zeros(trie.num_nodes)
    if patterns:
        each = np.array([*weights.values()], np.float64)
        lasts = np.cumsum(lengths) - 1
        np.add.at(rewards, trie.path[lasts], each)
        places = np.arange(1, len(codes) + 1) - np.repeat(lasts + 1 - lengths, lengths)
        # The border that a phrase begins with is no merit.
        shares = (places - len(border)) / np.repeat(lengths - len(border), lengths)
        lent = np.repeat(each, lengths) * shares
        lent[lasts] = 0.0  # what is complete is no longer under way
        np.maximum.at(loans, trie.path, lent)
    shorter = _link(trie, rewards, loans)
    gains = (rewards + loans)[1:] - loans[trie.parents[1:]]
    return PhraseTables(
        classes,
        trie.first_child,
        trie.letters,
        shorter,
        rewards,
        loans,
        first_state=1 if of_words and patterns else 0,  # after a border, with which all begin
        max_gain=float(gains.max(initial=0.0)),
    )


def _link(
    trie: Trie, rewards: npt.NDArray[np.float64], loans: npt.NDArray[np.float64]
) -> npt.NDArray[np.int32]:
    """The next shorter end of each state; adds to each state what its shorter ends earn.

    A state's loan is then at least that of its shorter ends. So the most that a letter adds is
    added on the way from a node of the trie to its child.
    """
    num_classes = np.int64(trie.letters.max(initial=0)) + 1
    edges = trie.parents.astype(np.int64) * num_classes + trie.letters  # in rising order
    shorter = np.zeros(trie.num_nodes, np.int32)
    for start, stop in zip(trie.levels[2:-1], trie.levels[3:], strict=True):
        level = np.arange(start, stop)
        waiting, states = level, shorter[trie.parents[level]]
        while len(waiting):
            wanted = states * num_classes + trie.letters[waiting]
            places = np.minimum(np.searchsorted(edges, wanted), len(edges) - 1)
            is_there = edges[places] == wanted
            shorter[waiting[is_there]] = places[is_there]
            goes_on = ~is_there & (states > 0)
            waiting, states = waiting[goes_on], shorter[states[goes_on]]
        rewards[level] += rewards[shorter[level]]
        loans[level] = np.maximum(loans[level], loans[shorter[level]])
    return shorter
