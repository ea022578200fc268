"""The tables that scoring a prefix needs, from alphabet, language model, phrases and settings."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.compilation import structure
from ds2.ctc.phrases import BORDER, phrase_tables
from ds2.ctc.search.vocabulary import NO_WORD, Vocabulary, strange_words, vocabulary_of
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
"""A number from a table or from Python."""


@dataclass(frozen=True)
@structure
class Scoring:
    """All that scoring needs, as flat arrays and numbers.

    The types are the same with and without a language model, so the code is compiled once.
    """

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
    known: Vocabulary  # of the language model
    strange: Vocabulary  # what phrases add; its nodes are numbered after those of `known`
    first_node: int  # where a word begins: the root of `strange`, if that holds any
    unknown_log_prob: float  # of a word outside the trie, before its context is known
    has_phrases: bool
    phrase_classes: npt.NDArray[np.int32]  # (letters,)
    phrase_children: npt.NDArray[np.int32]  # (S + 1,) the first of each state
    phrase_letters: npt.NDArray[np.int32]  # (S,)
    phrase_shorter: npt.NDArray[np.int32]  # (S,)
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
    words = _strange(lm, phrase_weights) if of_words else []
    unknown_log_prob = float(lm.unigram_log_probs()[UNKNOWN]) if lm else 0.0
    strange = NO_WORDS
    if words:
        strange = strange_words(words, UNKNOWN, unknown_log_prob, _spelling(letters), known)
    price = settings.unknown_word_score
    hot = {*"".join(phrase_weights)}  # letters of phrases are not forbidden
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
        known=known,
        strange=strange,
        first_node=len(known.letters) if words else 0,
        unknown_log_prob=unknown_log_prob,
        has_phrases=bool(phrase_weights),
        phrase_classes=np.array([phrases.classes.get(letter, 0) for letter in letters], np.int32),
        phrase_children=phrases.first_child,
        phrase_letters=phrases.letters,
        phrase_shorter=phrases.shorter,
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


def known_words(alphabet: Alphabet, lm: NgramModel | None) -> Vocabulary:
    """The words of a language model of words."""
    words = lm.vocabulary[END + 1 :] if lm and alphabet.word_unit == "word" else []
    ids = END + 1 + np.arange(len(words))
    log_probs = lm.unigram_log_probs()[ids] if lm else np.zeros(0, np.float32)
    return vocabulary_of(words, ids.astype(np.int32), log_probs, _spelling(_letters(alphabet)))


def _spelling(letters: dict[str, int]) -> dict[str, int]:
    """The letters of words: all but the one that parts them."""
    return {letter: number for letter, number in letters.items() if number != SPACE}


def _empty_lm() -> NgramArrays:
    """An empty language model for searches that have none; nothing looks into it."""
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
NO_WORDS = vocabulary_of([], np.zeros(0, np.int32), np.zeros(0, np.float32), {})
