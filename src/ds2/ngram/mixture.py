"""Interpolation of language models: several become one. The weights come from a text."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.ngram.binary import ModelFacts
from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import END, UNKNOWN
from ds2.ngram.levels import (
    IMPOSSIBLE,
    NgramLevel,
    Rows,
    SortedGrams,
    backoff_masses,
    lexicographic_order,
    sorted_grams,
    spelled,
)
from ds2.ngram.model import NgramModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MAX_ROUNDS = 1000
TOLERANCE = 1e-7


def word_log_probs(models: Sequence[NgramModel], texts: Iterable[str]) -> Floats:
    """Each model's natural log-probability of every word and sentence end in the texts.

    (models, M), -inf if a model does not know a word. Words that no model knows are left out.

    Raises InputError for texts without a single word.
    """
    parts = []
    for text in texts:
        rows = []
        for model in models:
            ids = np.array([*map(model.word_id, model.words_of(text)), END], np.int32)
            log_probs, _ = model.score_ids(ids, model.begin_state())
            rows.append(np.where(ids == UNKNOWN, -np.inf, log_probs))
        parts.append(np.stack(rows))
    if sum(part.shape[1] - 1 for part in parts) == 0:
        raise InputError("the text to fit the weights on has no words")
    log_probs = np.concatenate(parts, axis=1)
    return log_probs[:, np.any(log_probs > -np.inf, axis=0)]


def fit_weights(log_probs: Floats) -> Floats:
    """The weights of the mixture that gives the words the highest probability, by EM: (models,).

    log_probs: (models, M), as `word_log_probs` returns them. The likelihood is concave in the
    weights, so there is one best answer.
    """
    probs = np.exp(log_probs)
    weights = np.full(len(probs), 1 / len(probs))
    for _ in range(MAX_ROUNDS):
        shares = weights[:, None] * probs
        updated = (shares / shares.sum(axis=0)).mean(axis=1)
        done = np.abs(updated - weights).max() < TOLERANCE
        weights = updated
        if done:
            break
    return weights


def mixed(
    models: Sequence[NgramModel], weights: Floats
) -> tuple[list[NgramLevel], list[str], ModelFacts]:
    """One back-off model in place of a mixture: its n-grams, vocabulary and facts.

    It has all n-grams of all models, each with exactly the mixture's probability. Its back-off
    weights make the probabilities sum to one. Only words after a back-off differ a little from the
    mixture (Stolcke 2002: `ngram -mix-lm` of SRILM). So decoding costs no more than with one
    model. A word that a model does not know has probability 0 in that model.

    Raises InputError for models of different units or languages.
    """
    facts = _common_facts(models, weights)
    ids: dict[str, int] = {}
    for model in models:
        for word in model.vocabulary:
            ids.setdefault(word, len(ids))
    order = max(model.order for model in models)
    parts = [model.levels() for model in models]
    names = [np.array([ids[word] for word in model.vocabulary], np.int32) for model in models]
    rows = [
        [
            name[spelled(levels, k, np.arange(len(levels[k - 1])))]
            if k <= len(levels)
            else np.zeros((0, k), np.int32)
            for levels, name in zip(parts, names, strict=True)
        ]
        for k in range(1, order + 1)
    ]
    unions = [_union(group, len(ids)) for group in rows]
    shapes = sorted_grams([union for union, _ in unions], len(ids))
    places = []  # per order and model: the place in the mixture of each of the model's n-grams
    for shape, (union, model_places) in zip(shapes, unions, strict=True):
        place = np.zeros(len(union), np.int64)
        place[shape.sources[shape.sources >= 0]] = np.flatnonzero(shape.sources >= 0)
        places.append([place[group] for group in model_places])
    probs = [np.zeros(len(shape.words)) for shape in shapes]
    for index, levels in enumerate(parts):
        log10 = _log10_probs(levels, shapes, [group[index] for group in places])
        probs = [
            total + weights[index] * 10.0**part for total, part in zip(probs, log10, strict=True)
        ]
    return _levels(shapes, probs), list(ids), facts


def _common_facts(models: Sequence[NgramModel], weights: Floats) -> ModelFacts:
    """The facts of the mixture. Raises InputError if the models differ in unit or language."""
    units = {model.facts.unit for model in models}
    if len(units) > 1:
        raise InputError("one model is of words and another of characters: ds2 cannot mix them")
    languages = {model.facts.language for model in models} - {None}
    if len(languages) > 1:
        raise InputError("the models are of different languages: ds2 cannot mix them")
    origin = {
        "mixture": [model.name for model in models],
        "weights": np.round(weights, 6).tolist(),
    }
    return ModelFacts(units.pop(), languages.pop() if languages else None, origin)


def _union(groups: Sequence[Rows], vocabulary_size: int) -> tuple[Rows, list[Integers]]:
    """The distinct n-grams of several models, and for each model the places of its n-grams."""
    rows = np.concatenate(groups)
    order = lexicographic_order(rows, vocabulary_size)
    ascending = rows[order]
    is_new = np.any(np.diff(ascending, axis=0, prepend=-1) != 0, axis=1)
    places = np.empty(len(rows), np.int64)
    places[order] = np.cumsum(is_new) - 1
    ends = np.cumsum([len(group) for group in groups])
    return ascending[is_new], np.split(places, ends[:-1])


def _log10_probs(
    levels: Sequence[NgramLevel], shapes: Sequence[SortedGrams], places: Sequence[Integers]
) -> list[Floats]:
    """One model's log10 probability of each n-gram of the mixture, with back-off if needed.

    places: per order, the place of each of the model's n-grams in the mixture.
    """
    results: list[Floats] = []
    backoffs = np.zeros(0)
    for k, shape in enumerate(shapes):
        if k == 0:
            values = np.full(len(shape.words), -np.inf)
        else:
            values = backoffs[shape.parents] + results[-1][shape.suffixes]
        backoffs = np.zeros(len(shape.words))
        if k < len(levels):
            values[places[k]] = levels[k].log10_probs[:]
            backoffs[places[k]] = levels[k].log10_backoffs[:]
        results.append(values)
    return results


def _levels(shapes: Sequence[SortedGrams], probs: Sequence[Floats]) -> list[NgramLevel]:
    """The mixture's n-grams with back-off weights that make every context sum to one."""
    workspace = Workspace()
    levels = []
    for k, (shape, values) in enumerate(zip(shapes, probs, strict=True)):
        backoffs = np.zeros(len(values))
        if k + 1 < len(shapes):
            parents, suffixes = shapes[k + 1].parents, shapes[k + 1].suffixes
            left, left_below = backoff_masses(parents, probs[k + 1], values[suffixes], len(values))
            has_children = np.bincount(parents, minlength=len(values)) > 0
            backoffs = np.where(has_children, np.log10(left / left_below), 0)
        with np.errstate(divide="ignore"):
            log10_probs = np.clip(np.log10(values), IMPOSSIBLE, 0)
        levels.append(
            NgramLevel(
                workspace.column(np.int32, shape.words),
                workspace.column(np.uint32, shape.parents),
                workspace.column(np.uint32, shape.suffixes),
                workspace.column(np.float32, log10_probs),
                workspace.column(np.float32, backoffs),
            )
        )
    return levels
