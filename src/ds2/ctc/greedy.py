"""Greedy decoding: the likeliest label of each frame."""

import math

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.hypothesis import BLANK, Hypothesis, Scores, Token


class GreedyDecoder:
    """The likeliest label of each frame, repeats and blanks taken out.

    The acoustic score is that of this one alignment. A token's confidence is its probability at
    its best frame. Memory grows with the tokens, not with the frames.
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
            start = before.start_frame
            self._tokens.pop()
        confidence = min(1.0, math.exp(log_prob))
        self._tokens.append(Token(label, start, end, log_prob, confidence))

    def best(self, n: int = 1, *, is_final: bool = True) -> list[Hypothesis]:
        """The one hypothesis there is, whatever n. Only its last token may yet grow longer."""
        del n, is_final
        return [Hypothesis(tuple(self._tokens), Scores(self._log_prob), len(self._tokens))]
