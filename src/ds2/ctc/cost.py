"""The CTC cost of a text, which training minimises (Graves et al. 2006, equations 6 to 8)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ds2.compilation import compiled
from ds2.ctc.hypothesis import BLANK


def ctc_cost(log_probs: NDArray[np.float32], labels: Sequence[int]) -> float:
    """-log p(labels | log_probs), summed over all alignments; infinite if there is none.

    log_probs: (T, V), natural logarithms.
    """
    states = np.full(2 * len(labels) + 1, BLANK, np.int64)
    states[1::2] = labels
    if not len(log_probs):
        return math.inf if labels else 0.0
    alphas = np.full((2, len(states)), -np.inf)
    forward(np.ascontiguousarray(log_probs), states, alphas)
    ends = alphas[(len(log_probs) - 1) % 2, -2:]
    return -float(np.logaddexp.reduce(ends))


@compiled
def forward(
    log_probs: NDArray[np.float32], states: NDArray[np.int64], alphas: NDArray[np.float64]
) -> None:
    """Fill in alphas (2, S) with the log-probabilities of frame T - 1, in place (T - 1) % 2."""
    num_states = len(states)
    alphas[0, 0] = log_probs[0, states[0]]
    if num_states > 1:
        alphas[0, 1] = log_probs[0, states[1]]
    for frame in range(1, len(log_probs)):
        before, now = alphas[(frame - 1) % 2], alphas[frame % 2]
        for state in range(num_states):
            score = before[state]
            if state > 0:
                score = _log_add(score, before[state - 1])
            if state > 1 and states[state] != 0 and states[state] != states[state - 2]:
                score = _log_add(score, before[state - 2])
            now[state] = score + log_probs[frame, states[state]]


@compiled
def _log_add(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + math.log1p(math.exp(b - a))
