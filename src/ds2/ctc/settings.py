"""The settings of the beam search. A bundle keeps them with its language model."""

import math
from dataclasses import dataclass

UNKNOWN_LETTERS = 6
"""An unknown word of up to this number of letters has the plain price. Longer words cost more: else
one endless unknown word would be cheaper than the known words of a sentence."""


@dataclass(frozen=True)
class BeamSettings:
    """How wide the search is, and the weights of the parts of a score.

    The pruning is the paper's (section 3.8: p = 0.99, at most 40 characters); scores are natural
    logarithms.
    """

    beam_width: int = 100  # hypotheses that the search keeps from frame to frame
    beam_threshold: float = 16.0  # it drops those that are this much below the best
    label_mass: float = 0.99  # it tries the fewest labels that have this probability
    max_labels: int = 40  # and at most this number of labels
    lm_weight: float = 0.5  # alpha
    word_bonus: float = 1.0  # beta; in Mandarin for each character
    unknown_word_score: (
        float | None
    ) = -10.0  # price of a word that the model lacks; None forbids it;
    # words of more than UNKNOWN_LETTERS cost in proportion
    prior_weight: float = 0.0  # how much of the labels' priors to divide out, from 0 to 1
    label_priors: tuple[float, ...] = ()  # ln of the mean probability of each label, blank first
    confidence_slope: float = 1.0  # log-odds of the posterior over the beam to log-odds of
    confidence_offset: float = 0.0  # being right; fitted on a development set

    def __post_init__(self) -> None:
        for name in ("beam_width", "max_labels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, not {getattr(self, name)}")
        if not self.beam_threshold > 0:
            raise ValueError(f"beam_threshold: must be above 0, not {self.beam_threshold}")
        if not 0 < self.label_mass <= 1:
            raise ValueError(f"label_mass: must be above 0, at most 1, not {self.label_mass}")
        if not 0 <= self.lm_weight < math.inf:
            raise ValueError(f"lm_weight: must be at least 0, not {self.lm_weight}")
        for name in ("word_bonus", "confidence_slope", "confidence_offset"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: must be a finite number, not {getattr(self, name)}")
        if not 0 <= self.prior_weight <= 1:
            raise ValueError(f"prior_weight: must be from 0 to 1, not {self.prior_weight}")
        if not all(-math.inf < prior <= 0 for prior in self.label_priors):
            raise ValueError("label_priors: must be finite natural logarithms of at most 0")
        if self.prior_weight and not self.label_priors:
            raise ValueError("prior_weight: needs label priors, which `ds2 lm tune` measures")
        price = self.unknown_word_score
        if price is not None and not -math.inf < price <= 0:
            raise ValueError(f"unknown_word_score: must be at most 0, not {price}")
