"""Tokens, hypotheses and their scores: the results of every decoder."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLANK = 0


@dataclass(frozen=True, slots=True)
class Token:
    """One label of a hypothesis and its place in the frames."""

    label: int
    start_frame: int
    end_frame: int  # after the last frame of the label's run
    log_prob: float  # of the label, at the frame of its run where it is likeliest
    confidence: float  # in [0, 1]: that the word it stands in was said


@dataclass(frozen=True, slots=True)
class Scores:
    """The parts of a hypothesis' score, in natural logarithms (equation 12 of the paper)."""

    acoustic: float  # log p_ctc of one alignment or of many; the decoder says which
    lm: float = 0.0  # alpha log p_lm, and the prices of unknown words
    count: float = 0.0  # beta times the number of words
    hot: float = 0.0  # the weights of the hot phrases that it holds

    @property
    def total(self) -> float:
        """The sum of all parts, by which hypotheses are ranked."""
        return self.acoustic + self.lm + self.count + self.hot


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A way to read the frames so far."""

    tokens: tuple[Token, ...]
    scores: Scores
    num_stable: int = 0  # tokens at its start that stay, whatever frames come


@dataclass(frozen=True, slots=True)
class Glance:
    """The best hypothesis so far, without its scores and confidences: cheaper than `Hypothesis`.

    The three lists have an item for each token.
    """

    labels: list[int]
    start_frames: list[int]
    end_frames: list[int]  # after the last frame of each label's run
    num_stable: int = 0  # labels at the start that stay, whatever frames come


class Decoder(Protocol):
    """Turns log_probs into hypotheses."""

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames of normalised natural-log probabilities."""

    def best(self, n: int = 1, *, is_final: bool = True) -> list[Hypothesis]:
        """The n best hypotheses of the frames so far, the best first.

        is_final: judge them as if the audio ended here; else the last word may go on.
        """

    def glance(self) -> Glance:
        """The best hypothesis of the frames so far; the last word may go on."""
