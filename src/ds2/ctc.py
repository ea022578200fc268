"""CTC decoding: log_probs in, hypotheses out.

A decoder takes any number of frames at a time (`feed`) and tells its best hypotheses at any time
(`best`); fed in any pieces it gives what the whole would give.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLANK = 0


@dataclass(frozen=True, slots=True)
class Token:
    """One label of a hypothesis and where it was heard."""

    label: int
    start_frame: int
    end_frame: int  # after the last frame of the label's run
    log_prob: float  # of the label, at the frame of its run where it is likeliest


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A way to read the frames so far."""

    tokens: tuple[Token, ...]
    log_prob: float  # natural logarithm; what of, the decoder says


class Decoder(Protocol):
    """What turns log_probs into hypotheses."""

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames of normalised natural-log probabilities."""

    def best(self, n: int = 1) -> list[Hypothesis]:
        """The n likeliest hypotheses of the frames so far, the best first."""


class GreedyDecoder:
    """The likeliest label of each frame, repeats and blanks taken out.

    The hypothesis' log_prob is that of this one alignment. Memory grows with the tokens, not
    with the frames.
    """

    def __init__(self) -> None:
        self._tokens: list[Token] = []
        self._log_prob = 0.0
        self._num_frames = 0
        self._last = BLANK  # the label of the last frame: its run may go on

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames. Raises ValueError for what are no log_probs."""
        if log_probs.ndim != 2 or log_probs.shape[1] < 2:
            raise ValueError(f"log_probs are (T, V), not of shape {log_probs.shape}")
        if not len(log_probs):
            return
        labels = log_probs.argmax(axis=1)
        values = log_probs[np.arange(len(labels)), labels]
        if not np.isfinite(values).all():
            raise ValueError("log_probs hold NaN or infinity")
        starts = np.flatnonzero(np.diff(labels, prepend=-1))
        ends = np.append(starts[1:], len(labels))
        best = np.maximum.reduceat(values, starts)
        for label, start, end, value in zip(
            labels[starts].tolist(), starts.tolist(), ends.tolist(), best.tolist(), strict=True
        ):
            self._take_run(label, self._num_frames + start, self._num_frames + end, value)
        # One frame after another, so that no cutting changes the sum's last bits.
        for value in values.tolist():
            self._log_prob += value
        self._num_frames += len(labels)
        self._last = int(labels[-1])

    def _take_run(self, label: int, start: int, end: int, log_prob: float) -> None:
        if label == BLANK:
            return
        if label == self._last and start == self._num_frames:  # the run began in an earlier piece
            before = self._tokens[-1]
            log_prob = max(log_prob, before.log_prob)
            self._tokens[-1] = Token(label, before.start_frame, end, log_prob)
        else:
            self._tokens.append(Token(label, start, end, log_prob))

    def best(self, n: int = 1) -> list[Hypothesis]:
        """The one hypothesis there is, whatever n."""
        del n
        return [Hypothesis(tuple(self._tokens), self._log_prob)]
