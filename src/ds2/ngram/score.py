"""Scores words with a language model, as compiled code that the beam search calls in its loops."""

import math
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.compilation import compiled, inlined, structure
from ds2.ngram.binary import MappedModel
from ds2.ngram.corpus import BEGIN

Index: TypeAlias = Any
"""A node, state or word id: int64 in compiled code, int elsewhere."""

LOG_10 = math.log(10)
EMPTY_STATE = 0
"""The state without any words before it."""


@dataclass(frozen=True)
@structure
class NgramArrays:
    """The model as flat arrays. ds2.ngram.binary describes them.

    The types are the same for every model, so the code that takes them is compiled once.
    """

    contexts: Annotated[npt.NDArray[np.uint32], 2]  # (C + 1, 2)
    words: npt.NDArray[np.uint16]  # (N,)
    words_high: npt.NDArray[np.uint8]  # (N,) or (0,)
    probs: npt.NDArray[np.float32]  # (N,) or (0,)
    backoffs: npt.NDArray[np.float32]  # (C,) or (0,)
    prob_codes: npt.NDArray[np.uint16]  # (N,) or (0,)
    backoff_codes: npt.NDArray[np.uint16]  # (C,) or (0,)
    scales: Annotated[
        npt.NDArray[np.float64], 2
    ]  # (2, 3): special, first, step of prob and backoff codes
    first_nodes: npt.NDArray[np.int64]  # (order + 2,): first node of each level, and N


def arrays_of(model: MappedModel) -> NgramArrays:
    """The arrays of a mapped model, for compiled code."""
    names = ("prob_codes", "backoff_codes")
    scales = [
        [c.special, c.first, c.step] if (c := model.codes.get(name)) else [0.0, 0.0, 0.0]
        for name in names
    ]
    first_nodes = np.cumsum([0, 1, *model.counts])
    numbers = (np.array(scales), first_nodes.astype(np.int64))
    for array in numbers:
        array.flags.writeable = False
    stored = (model.sections[field.name] for field in fields(NgramArrays)[:7])
    return NgramArrays(*[*stored, *numbers])


@inlined
def _child(model: NgramArrays, state: Index, word: Index) -> Index:
    """The node of the word after the state, 0 if there is none."""
    if state == 0:
        return 1 + word
    low = np.int64(model.contexts[state, 0])
    high = np.int64(model.contexts[state + 1, 0])
    has_high = len(model.words_high) > 0
    while low < high:
        middle = (low + high) >> 1
        found = np.int64(model.words[middle])
        if has_high:
            found |= np.int64(model.words_high[middle]) << 16
        if found < word:
            low = middle + 1
        elif found > word:
            high = middle
        else:
            return middle
    return 0


@inlined
def _log10_prob(model: NgramArrays, node: Index) -> Any:
    if len(model.probs) > 0:
        return np.float64(model.probs[node])
    code = model.prob_codes[node]
    if code == 0:
        return model.scales[0, 0]
    return model.scales[0, 1] + (np.float64(code) - 1.0) * model.scales[0, 2]


def _log10_backoff(model: NgramArrays, state: Index) -> Any:
    if len(model.backoffs) > 0:
        return np.float64(model.backoffs[state])
    code = model.backoff_codes[state]
    if code == 0:
        return 0.0
    return model.scales[1, 1] + (np.float64(code) - 1.0) * model.scales[1, 2]


_backoff = inlined(_log10_backoff)


def _has_no_use(model: NgramArrays, node: Index, log10_backoff: Any) -> bool:
    """Whether a context changes no score: it has no children and no back-off weight."""
    return bool(model.contexts[node, 0] == model.contexts[node + 1, 0] and log10_backoff == 0)


_is_useless = inlined(_has_no_use)


@inlined
def _settled(model: NgramArrays, node: Index) -> Index:
    """The state for a context: the context itself, or a shorter one if it changes no score."""
    if _is_useless(model, node, _backoff(model, node)):
        return np.int64(model.contexts[node, 1])
    return node


@inlined
def advance(model: NgramArrays, state: Index, word: Index) -> tuple[float, Index, Index]:
    """Like `score_word`, but in log10 and with the node of the n-gram that gave the probability."""
    num_contexts = len(model.contexts) - 1
    log10_prob = 0.0
    node = _child(model, state, word)
    while node == 0:
        log10_prob += _backoff(model, state)
        state = np.int64(model.contexts[state, 1])
        node = _child(model, state, word)
    log10_prob += _log10_prob(model, node)
    if node < num_contexts:
        return log10_prob, _settled(model, node), node
    while state != 0:  # the n-gram is of the highest order: only its end can be a context
        state = np.int64(model.contexts[state, 1])
        end = _child(model, state, word)
        if end != 0:
            return log10_prob, _settled(model, end), node
    return log10_prob, 0, node


@compiled
def score_word(model: NgramArrays, state: Index, word: Index) -> tuple[float, Index]:
    """Natural log-probability of a word after a state, and the state after the word.

    model: NgramArrays. state: from an earlier call, or a first state. word: an id, 0 <= id < V.
    """
    log10_prob, state, _ = advance(model, state, word)
    return log10_prob * LOG_10, state


def begin_state(model: NgramArrays) -> int:
    """The state at the start of a sentence. This is not compiled, because it runs only once."""
    if len(model.contexts) == 2:  # of order 1: only the root is a context
        return EMPTY_STATE
    node = 1 + BEGIN
    is_useless = _has_no_use(model, node, _log10_backoff(model, node))
    return int(model.contexts[node, 1]) if is_useless else node


@compiled
def score_words(
    model: NgramArrays,
    state: Index,
    words: npt.NDArray[np.int32],
    log_probs: npt.NDArray[np.float64],
    orders: npt.NDArray[np.int64],
) -> Index:
    """Score words one after the other. Returns the state after them.

    words: (M,) ids. log_probs, orders: (M,) arrays that the function fills: natural
    log-probabilities, and the length of the n-gram that gave each.
    """
    for index in range(len(words)):
        log10_prob, state, node = advance(model, state, words[index])
        log_probs[index] = log10_prob * LOG_10
        order = 1
        while node >= model.first_nodes[order + 1]:
            order += 1
        orders[index] = order
    return state
