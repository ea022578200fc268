"""From the posterior over the beam to the probability that a word is right (Platt scaling)."""

import math

CLIP = 1e-4
"""The least distance of posteriors from 0 and 1, where log-odds are infinite. A beam that agrees on
a word may still lack the true one."""
FARTHEST = 700.0  # log-odds; exp of more overflows


def calibrated(posterior: float, slope: float, offset: float) -> float:
    """The probability of being right: sigmoid(slope * logit(posterior) + offset).

    The posterior is clipped to CLIP and 1 - CLIP before. With slope 1 and offset 0 it stays.
    """
    posterior = min(max(posterior, CLIP), 1 - CLIP)
    log_odds = slope * math.log(posterior / (1 - posterior)) + offset
    return 1 / (1 + math.exp(min(max(-log_odds, -FARTHEST), FARTHEST)))
