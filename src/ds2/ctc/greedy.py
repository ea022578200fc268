"""Greedy decoding: the likeliest label of each frame."""

import math

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.hypothesis import BLANK, Glance, Hypothesis, Scores, Token


class GreedyDecoder:
    """The likeliest label of each frame, without repeats and blanks.

    The acoustic score is that of this one alignment. A token's confidence is its probability at
    its best frame. Memory grows with the tokens, not with the frames.
    """

    def __init__(self) -> None:
        # Of each run of one label, the one under way not included:
        self._labels: list[int] = []
        self._start_frames: list[int] = []
        self._end_frames: list[int] = []
        self._peaks: list[float] = []
        self._label = BLANK  # of the last frame: its run may go on
        self._start_frame = 0
        self._peak = 0.0  # the run's highest log-probability
        self._log_prob = 0.0
        self._num_frames = 0

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames. Raises ValueError for arrays that are no log_probs."""
        if log_probs.ndim != 2 or log_probs.shape[1] < 2:
            raise ValueError(f"log_probs are (T, V), not of shape {log_probs.shape}")
        labels = log_probs.argmax(axis=1).tolist()
        values = log_probs.max(axis=1).tolist()
        if not math.isfinite(sum(values)):
            raise ValueError("log_probs hold NaN or infinity")
        # Streams bring a few frames at a time: numpy would need longer than this loop.
        for frame, (label, value) in enumerate(zip(labels, values, strict=True), self._num_frames):
            self._log_prob += value  # one by one, so that no cutting changes the sum's last bits
            if label != self._label:
                self._end_run(frame)
                self._label, self._start_frame, self._peak = label, frame, value
            elif value > self._peak:
                self._peak = value
        self._num_frames += len(labels)

    def _end_run(self, end_frame: int) -> None:
        if self._label != BLANK:
            self._labels.append(self._label)
            self._start_frames.append(self._start_frame)
            self._end_frames.append(end_frame)
            self._peaks.append(self._peak)

    def best(self, n: int = 1, *, is_final: bool = True) -> list[Hypothesis]:
        """The one hypothesis there is, whatever n. Only its last token may yet grow longer."""
        del n, is_final
        seen = self.glance()
        peaks = self._peaks if self._label == BLANK else [*self._peaks, self._peak]
        tokens = tuple(
            Token(label, start, end, peak, min(1.0, math.exp(peak)))
            for label, start, end, peak in zip(
                seen.labels, seen.start_frames, seen.end_frames, peaks, strict=True
            )
        )
        return [Hypothesis(tokens, Scores(self._log_prob), len(tokens))]

    def glance(self) -> Glance:
        """The labels so far, which all stay."""
        labels, starts, ends = (
            self._labels.copy(),
            self._start_frames.copy(),
            self._end_frames.copy(),
        )
        if self._label != BLANK:
            labels.append(self._label)
            starts.append(self._start_frame)
            ends.append(self._num_frames)
        return Glance(labels, starts, ends, len(labels))
