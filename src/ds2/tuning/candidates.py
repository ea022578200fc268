"""Candidate texts of utterances, with the parts of their scores: try settings without decoding."""

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
"""The price of an unknown word in a closed vocabulary. No other score can compensate for it, and
texts with fewer unknown words still win over texts with more."""


class Candidates:
    """The texts that decoding found for an utterance."""

    def __init__(self, reference: Sequence[str]) -> None:
        self._reference = reference
        self._rows: dict[int, int] = {}  # by each text's hash, because texts would fill the memory
        self.parts: Floats = np.empty((0, 4))
        """(K, 4): log p_ctc, log p_lm, number of words, unknown words (long ones count more)."""
        self.errors: Integers = np.empty(0, np.int32)
        """(K,): number of errors of each text."""

    def add(
        self, texts: Sequence[Sequence[str]], acoustics: Sequence[float], lm: NgramModel
    ) -> None:
        """Add texts, in words, with their acoustic scores.

        If a text is known already, the higher score counts, because a beam sums only the paths that
        it kept.
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
    """log p_lm of a sentence, its number of words, and the number of prices for unknown words."""
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
        """Add the hypotheses of each utterance; return the best of each utterance."""
        best = []
        for candidates, hypotheses in zip(self._utterances, decoded, strict=True):
            texts = [self._dev.words(hypothesis) for hypothesis in hypotheses]
            acoustics = [hypothesis.scores.acoustic for hypothesis in hypotheses]
            candidates.add(texts, acoustics, self._lm)
            best.append(hypotheses[0])
        return best

    def errors(self, weights: Floats) -> Integers:
        """The (U, P) errors of each utterance's best candidate, for each of P sets of weights.

        weights: (P, 4), for acoustics, language model, words and unknown words.
        """
        return np.stack(
            [
                candidates.errors[(candidates.parts @ weights.T).argmax(axis=0)]
                for candidates in self._utterances
            ]
        )
