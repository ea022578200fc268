"""The tables that scoring a prefix needs, from alphabet, language model, phrases and settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.compilation import structure
from ds2.ctc.phrases import BORDER, phrase_tables
from ds2.ctc.search.vocabulary import NO_WORD, Vocabulary, vocabulary_of
from ds2.ctc.settings import BeamSettings
from ds2.ngram.corpus import END, UNKNOWN
from ds2.ngram.model import NgramModel
from ds2.ngram.score import EMPTY_STATE, NgramArrays
from ds2.text.alphabet import Alphabet

FORBIDDEN = -np.inf
SPACE = np.int32(0)  # of the type that letters have in tables, so that nothing compiles twice
"""The letter that parts words; the others are numbered from 1 on."""
NO_LETTER = -1
Int: TypeAlias = int | np.integer[Any]
"""A number that a table gives, or Python."""


@dataclass(frozen=True)
@structure
class Scoring:
    """All that scoring needs, as flat arrays and numbers: the same types with and without a
    language model, so that it is compiled once."""

    lm: NgramArrays
    has_lm: bool
    of_words: bool  # the unit that is counted and scored: words, or single characters
    lm_weight: float
    word_bonus: float
    unknown_word_score: float  # FORBIDDEN in a closed vocabulary
    letters: Annotated[
        npt.NDArray[np.int32], 2
    ]  # (V, 2) of each label; NO_LETTER where there is none
    letter_words: npt.NDArray[np.int32]  # (letters,) their ids as words, NO_WORD if unknown
    first_child: npt.NDArray[np.int32]  # of the vocabulary's trie
    trie_letters: npt.NDArray[np.int32]
    trie_words: npt.NDArray[np.int32]
    trie_bounds: npt.NDArray[np.float32]
    unknown_log_prob: float  # of a word outside the trie, before its context is known
    phrase_classes: npt.NDArray[np.int32]  # (letters,)
    phrase_states: Annotated[npt.NDArray[np.int32], 2]  # (S, classes)
    phrase_rewards: npt.NDArray[np.float64]  # (S,)
    phrase_loans: npt.NDArray[np.float64]  # (S,)
    first_phrase_state: int
    first_lm_state: int
    phrase_gain: float  # the most that phrases add with a label


def scoring_of(
    alphabet: Alphabet,
    settings: BeamSettings,
    lm: NgramModel | None,
    phrase_weights: dict[str, float],
    known: Vocabulary,
) -> Scoring:
    """The tables for an alphabet, a language model and hot phrases (as `spelt_phrases` gives).

    known: `known_words` of the same alphabet and language model.
    """
    of_words = alphabet.word_unit == "word"
    letters = _letters(alphabet)
    phrases = phrase_tables(phrase_weights, of_words=of_words)
    strange = _strange(lm, phrase_weights) if of_words else []
    vocabulary = known_words(alphabet, lm, strange) if strange else known
    price = settings.unknown_word_score
    hot = {*"".join(phrase_weights)}  # what is asked for is not forbidden
    letter_words = [
        (lm.word_id(letter) if lm else UNKNOWN) or (UNKNOWN if letter in hot else NO_WORD)
        for letter in letters
    ]
    return Scoring(
        lm=lm.arrays if lm else NO_LM,
        has_lm=lm is not None,
        of_words=of_words,
        lm_weight=settings.lm_weight,
        word_bonus=settings.word_bonus,
        unknown_word_score=FORBIDDEN if price is None else price,
        letters=_letters_of_labels(alphabet, letters),
        letter_words=np.array(letter_words, np.int32),
        first_child=vocabulary.first_child,
        trie_letters=vocabulary.letters,
        trie_words=vocabulary.words,
        trie_bounds=vocabulary.bounds,
        unknown_log_prob=float(lm.unigram_log_probs()[UNKNOWN]) if lm else 0.0,
        phrase_classes=np.array([phrases.classes.get(letter, 0) for letter in letters], np.int32),
        phrase_states=phrases.next_states,
        phrase_rewards=phrases.rewards,
        phrase_loans=phrases.loans,
        first_phrase_state=phrases.first_state,
        first_lm_state=lm.begin_state() if lm else EMPTY_STATE,
        phrase_gain=phrases.max_gain * max(map(len, alphabet.symbols), default=1),
    )


def _letters_of_labels(alphabet: Alphabet, letters: dict[str, int]) -> npt.NDArray[np.int32]:
    """(V, 2): the letters that each label stands for, one or two; none for the blank."""
    table = np.full((len(alphabet), 2), NO_LETTER, np.int32)
    for label, symbol in enumerate(alphabet.symbols, 1):
        table[label, : len(symbol)] = [letters[letter] for letter in symbol]
    return table


def _letters(alphabet: Alphabet) -> dict[str, int]:
    """The letters that labels are made of, and their numbers."""
    letters = sorted({*"".join(alphabet.symbols)} - {BORDER})
    return {BORDER: int(SPACE)} | {letter: number for number, letter in enumerate(letters, 1)}


def _strange(lm: NgramModel | None, phrase_weights: dict[str, float]) -> list[str]:
    """The words of phrases that the language model lacks."""
    words = {*" ".join(phrase_weights).split()}
    return sorted(word for word in words if lm and lm.word_id(word) == UNKNOWN)


def known_words(
    alphabet: Alphabet, lm: NgramModel | None, strange: Sequence[str] = ()
) -> Vocabulary:
    """The words of a language model of words, and strange ones, which go as its unknown word."""
    words = lm.vocabulary[END + 1 :] if lm and alphabet.word_unit == "word" else []
    ids = np.append(END + 1 + np.arange(len(words)), np.full(len(strange), UNKNOWN))
    log_probs = lm.unigram_log_probs()[ids] if lm else np.zeros(0, np.float32)
    spelt = {letter: number for letter, number in _letters(alphabet).items() if number != SPACE}
    return vocabulary_of([*words, *strange], ids.astype(np.int32), log_probs, spelt)


def _empty_lm() -> NgramArrays:
    """What stands in for a language model where there is none; never looked at."""
    return NgramArrays(
        np.zeros((1, 2), np.uint32),
        np.zeros(0, np.uint16),
        np.zeros(0, np.uint8),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.uint16),
        np.zeros(0, np.uint16),
        np.zeros((2, 3), np.float64),
        np.zeros(0, np.int64),
    )


NO_LM = _empty_lm()
