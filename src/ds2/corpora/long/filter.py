"""Finds utterances with the right text: the classifier of section 4.1 of the paper.

The paper's features are the CTC cost of the text and its length. A logistic regression uses them,
their squares and their products. It is fitted to good and damaged transcripts. Two more features
compare the text with the model's own hypothesis, to tell a hard recording from a wrong text.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.ctc.cost import ctc_cost
from ds2.ctc.greedy import GreedyDecoder
from ds2.errors import InputError
from ds2.evaluation.metrics import character_errors, units
from ds2.files import atomic_write
from ds2.text.alphabet import Alphabet

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

FEATURES = (
    "cost",  # log of -log p(text)
    "cost_per_frame",
    "cost_per_label",
    "frames_per_label",  # log
    "num_words",  # log
    "num_labels",  # log
    "margin_per_label",  # cost above that of the model's hypothesis
    "misread",  # character error rate of the model's hypothesis against the text
)
HIGHEST_COST = 1e4  # cost of a text that does not fit into the audio
RIDGE = 1.0
NUM_FOLDS = 5
FORMAT = 1


def features_of(
    log_probs: npt.NDArray[np.float32], texts: Sequence[str], alphabet: Alphabet
) -> list[list[float]]:
    """The features of each text for one utterance.

    log_probs: (T, V). texts: in the alphabet's style. Raises UnspellableError.
    """
    decoder = GreedyDecoder()
    decoder.feed(log_probs)
    hypothesis = decoder.best()[0]
    read = alphabet.decode(token.label for token in hypothesis.tokens)
    best_cost = ctc_cost(log_probs, [token.label for token in hypothesis.tokens])
    num_frames = max(1, len(log_probs))
    rows = []
    for text in texts:
        labels = alphabet.encode(text)
        cost = min(HIGHEST_COST, ctc_cost(log_probs, labels))
        num_labels = max(1, len(labels))
        words = units(text, alphabet.language)
        row = [
            np.log1p(max(0.0, cost)),
            cost / num_frames,
            cost / num_labels,
            np.log(num_frames / num_labels),
            np.log1p(len(words)),
            np.log(num_labels),
            (cost - best_cost) / num_labels,
            character_errors(text, read, alphabet.language).rate if text else 1.0,
        ]
        rows.append([round(float(value), 6) for value in row])
    return rows


@dataclass(frozen=True)
class Classifier:
    """Computes the probability that an utterance's text is right, from its features."""

    means: tuple[float, ...]  # of the features
    scales: tuple[float, ...]  # their standard deviations
    weights: tuple[float, ...]  # of the features, their products and 1

    def probabilities(self, features: Floats) -> Floats:
        """The probabilities, (N,), for (N, F) features."""
        log_odds = self._terms(features) @ np.array(self.weights)
        return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -500, 500))))

    def _terms(self, features: Floats) -> Floats:
        return _terms((features - np.array(self.means)) / np.array(self.scales))

    def save(self, path: Path) -> None:
        """Write the classifier as JSON."""
        data = {
            "format_version": FORMAT,
            "features": list(FEATURES),
            "means": list(self.means),
            "scales": list(self.scales),
            "weights": list(self.weights),
        }
        with atomic_write(path) as file:
            file.write(json.dumps(data, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Classifier":
        """Read a classifier that `save` wrote. Raises InputError."""
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
            version = (data["format_version"], data["features"])
            lists = [data.get(name, ()) for name in ("means", "scales", "weights")]
            means, scales, weights = (tuple(map(float, values)) for values in lists)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {str(error.strerror).lower()}") from None
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path}: is not a classifier: make one with ds2 corpus filter --save"
            ) from None
        if version != (FORMAT, list(FEATURES)):
            raise InputError(f"{path}: is a classifier of another version: train it again")
        sizes = (len(means), len(scales), len(weights))
        if sizes != (len(FEATURES), len(FEATURES), _terms(np.zeros((1, len(FEATURES)))).shape[1]):
            raise InputError(f"{path}: is damaged: its numbers are too few or too many")
        return cls(means, scales, weights)


def _terms(standard: Floats) -> Floats:
    """The features, all products of two features, and 1, (N, K)."""
    clipped = np.clip(standard, -5, 5)  # squares of extreme values would outweigh all others
    first, second = np.triu_indices(clipped.shape[1])
    ones = np.ones((len(clipped), 1))
    return np.concatenate([clipped, clipped[:, first] * clipped[:, second], ones], axis=1)


def train_classifier(features: Floats, is_good: Bools) -> Classifier:
    """Fit a classifier to (N, F) features by Newton's method. RIDGE pulls the weights to 0.

    Raises ValueError unless there are good and bad utterances.
    """
    if is_good.all() or not is_good.any():
        raise ValueError("there must be good and bad utterances to learn from")
    means, scales = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    terms = _terms((features - means) / scales)
    pull = np.full(terms.shape[1], RIDGE)
    pull[-1] = 1e-6
    weights = np.zeros(terms.shape[1])

    def loss(at: Floats) -> float:
        log_odds = terms @ at
        return float((np.logaddexp(0, log_odds) - is_good * log_odds).sum() + pull @ at**2 / 2)

    for _ in range(100):
        predicted = 1 / (1 + np.exp(-np.clip(terms @ weights, -500, 500)))
        slopes = terms.T @ (predicted - is_good) + pull * weights
        curvature = (terms.T * (predicted * (1 - predicted))) @ terms + np.diag(pull)
        step = np.linalg.solve(curvature, slopes)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-9:
            step /= 2
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return Classifier(tuple(means.tolist()), tuple(scales.tolist()), tuple(weights.tolist()))


def held_out_probabilities(
    features: Floats, is_good: Bools, owners: npt.NDArray[np.int64], seed: int = 0
) -> Floats:
    """Probabilities, (N,), by classifiers that never saw the utterance (cross-validation).

    owners: the utterance of each row, (N,). All rows of one utterance are held out together.
    """
    folds = np.random.default_rng(seed).permutation(int(owners.max()) + 1) % NUM_FOLDS
    probabilities = np.empty(len(features))
    for fold in range(NUM_FOLDS):
        inside = folds[owners] == fold
        if inside.any():
            classifier = train_classifier(features[~inside], is_good[~inside])
            probabilities[inside] = classifier.probabilities(features[inside])
    return probabilities


@dataclass(frozen=True)
class Curve:
    """The effect of thresholds on precision, recall and the share of utterances that is kept."""

    thresholds: Floats  # rising
    precision: Floats
    recall: Floats
    kept: Floats  # share of all

    @property
    def average_precision(self) -> float:
        """The area under the curve of precision over recall."""
        steps = -np.diff(self.recall, append=0.0)
        return float((steps * self.precision).sum())


def precision_recall(probabilities: Floats, is_good: Bools) -> Curve:
    """The curve over all different probabilities. A threshold keeps its own value and all above."""
    thresholds = np.unique(probabilities)
    order = np.argsort(probabilities)
    good_from = np.append(np.cumsum(is_good[order][::-1])[::-1], 0)
    first = np.searchsorted(probabilities[order], thresholds)
    num_kept = len(probabilities) - first
    num_good = good_from[first]
    return Curve(
        thresholds,
        num_good / num_kept,
        num_good / max(1, int(is_good.sum())),
        num_kept / len(probabilities),
    )
