"""Divide the probabilities of labels by their priors.

A network trained with CTC knows what its training texts are like: the blank and common letters come
easily to it, whatever it hears. The language model knows more about texts. So a search with one
divides a part of that knowledge out first (Miao et al., 2015, "EESEN").
"""

import math

import numpy as np
import numpy.typing as npt

from ds2.compilation import compiled

NEGLIGIBLE = 20.0
"""Labels that are this much less likely than the best, in logarithms, add nothing to the sum."""


@compiled
def divide_by_priors(
    log_probs: npt.NDArray[np.float32],
    costs: npt.NDArray[np.float32],
    divided: npt.NDArray[np.float32],
) -> None:
    """Fill `divided` (T, V): log_probs less the costs (V,), and normalised in each frame.

    Each frame depends on itself alone, so pieces give what the whole gives.
    """
    for frame in range(len(log_probs)):
        highest = -np.inf
        for label in range(len(costs)):
            value = log_probs[frame, label] - costs[label]
            divided[frame, label] = value
            highest = max(highest, value)
        if highest == -np.inf:
            continue
        total = 0.0
        for label in range(len(costs)):
            if divided[frame, label] > highest - NEGLIGIBLE:
                total += math.exp(divided[frame, label] - highest)
        normaliser = np.float32(highest + math.log(total))
        for label in range(len(costs)):
            divided[frame, label] -= normaliser
