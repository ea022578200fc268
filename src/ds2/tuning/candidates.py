"""What utterances may say, with the parts of each text's score: settings tried without decoding."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.hypothesis import Hypothesis
from ds2.ctc.settings import UNKNOWN_LETTERS
from ds2.evaluation.metrics import edit_distance
from ds2.ngram.corpus import END, UNKNOWN
from ds2.ngram.model import NgramModel
from ds2.tuning.dev_set import DevSet

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]

FORBIDDEN = -1e6
"""The price of an unknown word in a closed vocabulary: more than any score can make up for, and a
text without any still wins over one with fewer."""


class Candidates:
    """The texts that decoding has found for one utterance."""

    def __init__(self, reference: Sequence[str]) -> None:
        self._reference = reference
        self._rows: dict[int, int] = {}  # of each text, by its hash: texts would fill the memory
        self.parts: Floats = np.empty((0, 4))
        """(K, 4): log p_ctc, log p_lm, number of words, and of unknown words, long ones more."""
        self.errors: Integers = np.empty(0, np.int32)
        """(K,)"""

    def add(
        self, texts: Sequence[Sequence[str]], acoustics: Sequence[float], lm: NgramModel
    ) -> None:
        """Take texts, in words, with their acoustic scores.

        Of a text that is known already the higher score counts: beams sum up what they kept.
        """
        new: list[Sequence[str]] = []
        rows: list[tuple[float, float, int, float]] = []
        for text, acoustic in zip(texts, acoustics, strict=True):
            row = self._rows.setdefault(hash(tuple(text)), len(self.parts) + len(rows))
            if row < len(self.parts):
                self.parts[row, 0] = max(self.parts[row, 0], acoustic)
            elif row == len(self.parts) + len(rows):
                rows.append((acoustic, *_language(text, lm)))
                new.append(text)
        if new:
            self.parts = np.concatenate([self.parts, np.array(rows)])
            errors = [edit_distance(self._reference, text) for text in new]
            self.errors = np.concatenate([self.errors, np.array(errors, np.int32)])


def _language(text: Sequence[str], lm: NgramModel) -> tuple[float, int, float]:
    """log p_lm of a sentence, its words, and how often it pays for unknown ones."""
    ids = [lm.word_id(word) for word in text]
    log_probs, _ = lm.score_ids([*ids, END], lm.begin_state())
    unknown = [word for word, index in zip(text, ids, strict=True) if index == UNKNOWN]
    times = sum(max(1.0, len(word) / UNKNOWN_LETTERS) for word in unknown)
    return float(log_probs.sum()), len(ids), times


class Pool:
    """The candidates of all utterances of a development set."""

    def __init__(self, dev: DevSet, lm: NgramModel) -> None:
        self._dev = dev
        self._lm = lm
        self._utterances = [Candidates(reference) for reference in dev.references]

    def __len__(self) -> int:
        """The number of texts."""
        return sum(len(candidates.errors) for candidates in self._utterances)

    def add(self, decoded: Iterable[list[Hypothesis]]) -> list[Hypothesis]:
        """Take the hypotheses of each utterance; returns the best ones."""
        best = []
        for candidates, hypotheses in zip(self._utterances, decoded, strict=True):
            texts = [self._dev.words(hypothesis) for hypothesis in hypotheses]
            acoustics = [hypothesis.scores.acoustic for hypothesis in hypotheses]
            candidates.add(texts, acoustics, self._lm)
            best.append(hypotheses[0])
        return best

    def errors(self, weights: Floats) -> Integers:
        """(U, P) errors of each utterance's best candidate, for each of P ways to weigh the parts.

        weights: (P, 4), of acoustics, language model, words and unknown words.
        """
        return np.stack(
            [
                candidates.errors[(candidates.parts @ weights.T).argmax(axis=0)]
                for candidates in self._utterances
            ]
        )
