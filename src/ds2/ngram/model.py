"""NgramModel: a back-off language model that scores words."""

import io
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.ngram.arpa import read_arpa
from ds2.ngram.binary import MappedModel, ModelFacts, is_model, map_model, open_model
from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import END, UNKNOWN, Unit
from ds2.ngram.levels import NgramLevel
from ds2.ngram.score import (
    EMPTY_STATE,
    LOG_10,
    NgramArrays,
    arrays_of,
    begin_state,
    score_word,
    score_words,
)
from ds2.ngram.writing import write_model


@dataclass(frozen=True, slots=True)
class ScoredWord:
    """A word in its sentence."""

    word: str  # "</s>" for the end of the sentence
    log_prob: float  # natural logarithm, given the words before
    order: int  # the length of the longest n-gram of the model that ends with it
    is_known: bool


@dataclass(frozen=True, slots=True)
class Perplexity:
    """How well a model predicts texts. A sentence end counts as a word."""

    num_sentences: int
    num_words: int  # without sentence ends
    num_unknown: int
    log_prob: float  # of all words; unknown words have the model's probability of <unk>
    log_prob_known: float  # without the unknown words

    @property
    def including_unknown(self) -> float:
        """Perplexity of all words and sentence ends."""
        return _perplexity(self.log_prob, self.num_words + self.num_sentences)

    @property
    def excluding_unknown(self) -> float:
        """Perplexity of the words that the model knows, and of sentence ends."""
        return _perplexity(
            self.log_prob_known, self.num_words - self.num_unknown + self.num_sentences
        )


def _perplexity(log_prob: float, count: int) -> float:
    return math.exp(-log_prob / count) if count else math.nan


class NgramModel:
    """A language model of words or of characters.

    A state is one integer. It stands for the part of the past words that the model can still use.
    Two histories with the same state have the same future, so the search may merge hypotheses.
    """

    def __init__(self, mapped: MappedModel) -> None:
        self._mapped = mapped
        self.arrays: NgramArrays = arrays_of(mapped)
        """The arrays that `ds2.ngram.score.score_word` takes, for compiled code."""
        self._ids: dict[str, int] = {}  # of the words that callers have asked for so far

    @classmethod
    def load(cls, path: str | Path, unit: Unit | None = None) -> "NgramModel":
        """Open a model's file from `ds2 lm`, which is quick, or parse an ARPA file, plain or .gz.

        unit: the unit of an ARPA file; None: guess it from the vocabulary.

        Raises InputError for any other file. For a broken ARPA file, it names the line.
        """
        path = Path(path)
        if is_model(path):
            return cls(map_model(path))
        levels, vocabulary = read_arpa(path)
        facts = ModelFacts(unit or guessed_unit(vocabulary), None, {"arpa": path.name})
        return cls.from_levels(levels, vocabulary, facts, str(path))

    @classmethod
    def from_levels(
        cls, levels: Sequence[NgramLevel], vocabulary: Sequence[str], facts: ModelFacts, where: str
    ) -> "NgramModel":
        """A model in memory, with exact probabilities. where: its name, for messages."""
        file = io.BytesIO()
        write_model(file, levels, vocabulary, facts, Workspace(), exact=True)
        return cls(open_model(file.getvalue(), where))

    @property
    def name(self) -> str:
        """The name of its file, without the directory."""
        return Path(self._mapped.where).name

    @property
    def order(self) -> int:
        """The number of words of its longest n-grams."""
        return len(self._mapped.counts)

    @property
    def unit(self) -> Unit:
        """The unit that the model calls a word: words between spaces, or single characters."""
        return self._mapped.facts.unit

    @property
    def facts(self) -> ModelFacts:
        """The model's unit, language and origin."""
        return self._mapped.facts

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of its n-grams of order 1, 2, ..."""
        return self._mapped.counts

    @property
    def max_error(self) -> float:
        """The largest error of a natural-log probability or back-off weight in a code of 16 bits.

        0 if the model stores float32.
        """
        steps = [code.step for code in self._mapped.codes.values()]
        return max(steps, default=0.0) / 2 * LOG_10

    @property
    def num_bytes(self) -> int:
        """The size of its file."""
        return self._mapped.num_bytes

    @cached_property
    def vocabulary(self) -> list[str]:
        """Its words by id: <unk>, <s> and </s>, then the words of the text."""
        return bytes(self._mapped.sections["spellings"].data).decode().split("\n")[:-1]

    def with_words(self, words: Sequence[str]) -> "NgramModel":
        """The same model with other spellings of its words. words: by id, without the marks."""
        respelt = NgramModel(self._mapped)
        spelt = [*self.vocabulary[: END + 1], *words]
        respelt.vocabulary = spelt
        respelt._ids = {word: index for index, word in reversed(list(enumerate(spelt)))}
        return respelt

    def verify(self) -> None:
        """Read the whole file. Raises InputError if it has changed since it was written."""
        self._mapped.verify()

    def require(self, unit: Unit, language: str) -> None:
        """Raises InputError if the model does not fit an alphabet of that unit and language."""
        facts = self.facts
        if facts.unit != unit:
            raise InputError(
                f"{self._mapped.where}: is a model of {facts.unit}s, and {unit}s are needed: "
                f"build it with --unit {unit}"
            )
        if facts.language not in (None, language):
            raise InputError(
                f"{self._mapped.where}: is of language {facts.language}, and {language} is "
                f"needed: build it with --language {language}"
            )

    def word_id(self, word: str) -> int:
        """The id of a word, 0 (<unk>) if the model does not know it."""
        found = self._ids.get(word)
        if found is None:
            found = self._ids[word] = self._look_up(word.encode())
        return found

    def _look_up(self, word: bytes) -> int:
        """Look in the table of the file, so that opening a model need not list its words."""
        sections = self._mapped.sections
        hashes, ends = sections["hashes"], sections["spelling_ends"]
        value = np.uint32(zlib.crc32(word))
        place = int(np.searchsorted(hashes, value))
        while place < len(hashes) and hashes[place] == value:
            index = int(sections["hashed_words"][place])
            start = int(ends[index - 1]) if index else 0
            if sections["spellings"][start : int(ends[index]) - 1].tobytes() == word:
                return index
            place += 1
        return UNKNOWN

    def words_of(self, text: str) -> list[str]:
        """The text, cut into the units that the model calls words."""
        if self.unit == "character":
            return list("".join(text.split()))
        if text.isascii():
            return text.split()
        return [word.decode() for word in text.encode().split()]  # only at ASCII white space

    def begin_state(self) -> int:
        """The state at the start of a sentence. `EMPTY_STATE` has no words before it at all."""
        return int(begin_state(self.arrays))

    def score(self, word_id: int, state: int) -> tuple[float, int]:
        """Natural log-probability of a word after a state, and the state after the word.

        word_id: an id from the method `word_id`; 2 is the end of the sentence.

        Raises IndexError for an id or a state that the model does not have.
        """
        num_states = len(self.arrays.contexts) - 1
        if not (0 <= word_id < self.counts[0] and 0 <= state < num_states):
            raise IndexError(f"word {word_id} after state {state}: the model does not have both")
        log_prob, next_state = score_word(self.arrays, state, word_id)
        return float(log_prob), int(next_state)

    def score_ids(
        self, ids: Sequence[int] | npt.NDArray[np.int32], state: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Natural log-probabilities of consecutive words, and the order of each word's n-gram."""
        ids = np.asarray(ids, np.int32)
        log_probs, orders = np.empty(len(ids)), np.empty(len(ids), np.int64)
        score_words(self.arrays, state, ids, log_probs, orders)
        return log_probs, orders

    def score_sentence(
        self, words: Sequence[str], *, begin: bool = True, end: bool = True
    ) -> list[ScoredWord]:
        """Each word in its sentence. begin, end: whether the words begin and end a sentence."""
        ids = [self.word_id(word) for word in words]
        state = self.begin_state() if begin else EMPTY_STATE
        log_probs, orders = self.score_ids([*ids, END] if end else ids, state)
        scored = zip(
            [*words, "</s>"], [*ids, END], log_probs.tolist(), orders.tolist(), strict=False
        )
        return [
            ScoredWord(word, log_prob, order, index != UNKNOWN)
            for word, index, log_prob, order in scored
        ]

    def perplexity(self, texts: Iterable[str]) -> Perplexity:
        """The perplexity of texts. Each is one sentence, normalised like the model's own text."""
        num_sentences = num_words = num_unknown = 0
        log_prob = log_prob_known = 0.0
        begin = self.begin_state()
        for text in texts:
            ids = np.array([*map(self.word_id, self.words_of(text)), END], np.int32)
            log_probs, _ = self.score_ids(ids, begin)
            num_sentences += 1
            num_words += len(ids) - 1
            num_unknown += int(np.count_nonzero(ids == UNKNOWN))
            log_prob += float(log_probs.sum())
            log_prob_known += float(log_probs[ids != UNKNOWN].sum())
        return Perplexity(num_sentences, num_words, num_unknown, log_prob, log_prob_known)

    def unigram_log_probs(self) -> npt.NDArray[np.float32]:
        """(V,) natural log-probabilities of the words by id, without any word before them."""
        return self._mapped.unigram_log10_probs() * np.float32(LOG_10)

    def levels(self) -> list[NgramLevel]:
        """Its n-grams, order by order, in memory, for writing files and for mixing."""
        return self._mapped.levels()


def guessed_unit(vocabulary: Sequence[str]) -> Unit:
    """The unit of a model's words: characters, if no word is longer than one character."""
    return "character" if all(len(word) == 1 for word in vocabulary[END + 1 :]) else "word"
