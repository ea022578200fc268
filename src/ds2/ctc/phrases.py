"""Hot phrases: what a speaker is likely to say, and what that is worth to a hypothesis."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.text.alphabet import Alphabet
from ds2.text.normalise import normalise

BORDER = " "
"""Parts words, and stands at both ends of a phrase of words."""


@dataclass(frozen=True, slots=True)
class HotPhrase:
    """Words that are to be heard more readily, or, with a weight below 0, less.

    In English a phrase counts where it stands between word borders, in Mandarin anywhere. Every
    time it is complete, the hypothesis' score grows by the weight, a natural logarithm. While it
    is under way, its share is lent to the hypothesis, and taken back if the text goes on in
    another way.
    """

    text: str
    weight: float = 5.0  # makes it as welcome as what is e^5 times as likely

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(f"weight: must be a finite number, not {self.weight}")


Phrase: TypeAlias = HotPhrase | str | tuple[str, float]
"""As callers write it: with its weight or, to have the usual one, without."""


def hot_phrase(phrase: Phrase) -> HotPhrase:
    """The phrase that a caller means. Raises InputError."""
    if isinstance(phrase, HotPhrase):
        return phrase
    if isinstance(phrase, str):
        return HotPhrase(phrase)
    try:
        text, weight = phrase
        return HotPhrase(_text(text), float(weight))
    except (TypeError, ValueError):
        raise InputError(
            f'hot phrase {phrase!r}: write "New York", or ("New York", 5.0) with a weight'
        ) from None


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError
    return given


def hot_phrases(phrases: Sequence[Phrase]) -> tuple[HotPhrase, ...]:
    """The phrases that a caller means. Raises InputError."""
    if isinstance(phrases, str):  # whose letters would be phrases
        raise InputError(f'hot phrases: are a list: write ["{phrases}"]')
    return tuple(map(hot_phrase, phrases))


def spelt_phrases(phrases: Sequence[HotPhrase], alphabet: Alphabet) -> dict[str, float]:
    """The phrases in the alphabet's spelling, and their weights.

    Raises InputError for one that is empty, that the alphabet cannot spell, or that stands there
    twice.
    """
    spelt: dict[str, float] = {}
    letters = {*"".join(alphabet.symbols)}
    for phrase in phrases:
        text = normalise(phrase.text, alphabet.language)
        if alphabet.word_unit == "character":
            text = "".join(text.split())
        if not text:
            raise InputError(f'hot phrase "{phrase.text}": holds no words')
        missing = {*text} - letters
        if missing:
            named = " ".join(sorted(missing))
            raise InputError(f'hot phrase "{phrase.text}": the model cannot spell {named}')
        if text in spelt:
            raise InputError(f'hot phrase "{phrase.text}": stands there twice')
        spelt[text] = phrase.weight
    return spelt


@dataclass(frozen=True)
class PhraseTables:
    """An Aho-Corasick automaton over characters, as flat arrays.

    A state is the longest end of the text that a phrase begins with.
    """

    classes: Mapping[str, int]  # of the characters that stand in phrases; all others are class 0
    next_states: npt.NDArray[np.int32]  # (S, classes)
    rewards: npt.NDArray[np.float64]  # (S,) weights of the phrases that end on reaching a state
    loans: npt.NDArray[np.float64]  # (S,) the share lent for what is under way
    first_state: int

    @property
    def max_gain(self) -> float:
        """The most that one character can add to a score."""
        gains = (self.rewards + self.loans)[self.next_states] - self.loans[:, np.newaxis]
        return max(0.0, float(gains.max()))


def phrase_tables(weights: Mapping[str, float], *, of_words: bool) -> PhraseTables:
    """The automaton of spelt phrases. of_words: whether they stand between word borders."""
    border = BORDER if of_words else ""
    letters = sorted({*border, *"".join(weights)})
    classes = {letter: index for index, letter in enumerate(letters, 1)}
    children: list[dict[int, int]] = [{}]
    rewards, loans = [0.0], [0.0]
    for text, weight in weights.items():
        pattern = [classes[letter] for letter in border + text + border]
        state = 0
        for place, letter in enumerate(pattern):
            if letter not in children[state]:
                children[state][letter] = len(children)
                children.append({})
                rewards.append(0.0)
                loans.append(0.0)
            state = children[state][letter]
            if place < len(pattern) - 1:  # under way; the border that it begins with is no merit
                share = (place + 1 - len(border)) / (len(pattern) - len(border))
                loans[state] = max(loans[state], weight * share)
        rewards[state] += weight
    next_states = _linked(children, rewards, loans, 1 + len(letters))
    first_state = int(next_states[0, classes[BORDER]]) if of_words else 0
    return PhraseTables(classes, next_states, np.array(rewards), np.array(loans), first_state)


def _linked(
    children: Sequence[Mapping[int, int]],
    rewards: list[float],
    loans: list[float],
    num_classes: int,
) -> npt.NDArray[np.int32]:
    """The automaton's transitions, breadth first; adds to each state what its shorter ends earn."""
    next_states = np.zeros((len(children), num_classes), np.int32)
    shorter = [0] * len(children)
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        if state:
            rewards[state] += rewards[shorter[state]]
            loans[state] = max(loans[state], loans[shorter[state]])
            next_states[state] = next_states[shorter[state]]
        for letter, child in children[state].items():
            shorter[child] = int(next_states[state, letter]) if state else 0
            next_states[state, letter] = child
            waiting.append(child)
    return next_states
