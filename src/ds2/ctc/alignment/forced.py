"""Forced alignment finds the time of each label of a known text."""

import itertools
import math
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.alignment.spool import ScoreSpool
from ds2.ctc.alignment.viterbi import Path, best_path, lattice_of
from ds2.ctc.hypothesis import BLANK, Hypothesis, Scores, Token
from ds2.errors import InputError

FEED_FRAMES = 1024
"""Frames that `align` takes at a time."""


def align(log_probs: NDArray[np.float32], labels: Sequence[int]) -> Hypothesis:
    """The likeliest alignment: a token for each label, and the alignment's log-probability.

    log_probs: (T, V), natural logarithms. It may be a memory map, which ds2 reads piece by piece.

    Raises InputError if there is no alignment.
    """
    with ForcedAligner(labels) as aligner:
        for start in range(0, max(1, len(log_probs)), FEED_FRAMES):
            aligner.feed(log_probs[start : start + FEED_FRAMES])
        return aligner.best()[0]


def num_frames_needed(labels: Sequence[int]) -> int:
    """The fewest frames of an alignment. There must be a blank between two equal labels."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


class ForcedAligner:
    """A decoder that knows the text and finds the time of each label.

    For each frame the aligner keeps the scores of the text's own labels, on disk if there are many
    of them. A `with` statement or `close` frees them. A token lasts as long as the alignment stays
    in the token's label. Its confidence is the geometric mean of the label's probability over these
    frames.
    """

    def __init__(self, labels: Sequence[int]) -> None:
        """labels: the labels of the text. Raises InputError if there are no labels."""
        if not labels:
            raise InputError("there is no text to align")
        self._labels = np.array(labels, np.int64)
        if self._labels.min() <= BLANK:
            raise ValueError("labels are from 1 on: 0 is the blank")
        self._spool = ScoreSpool(self._labels)

    def __enter__(self) -> "ForcedAligner":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the scores."""
        self._spool.close()

    @property
    def num_frames(self) -> int:
        """The number of frames so far."""
        return self._spool.num_frames

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames. Raises the errors of `ScoreSpool.feed`."""
        self._spool.feed(log_probs)

    def best(self, n: int = 1, *, is_final: bool = True) -> list[Hypothesis]:
        """The text with its times, as if the audio ended here.

        The arguments n and is_final change nothing. The score is the log-probability of the
        likeliest alignment. Raises InputError if there is no alignment.
        """
        del n, is_final
        labels: list[int] = self._labels.tolist()
        needed = num_frames_needed(labels)
        if needed > self.num_frames:
            raise InputError(
                f"the text is too long for the audio: its {len(labels)} labels need {needed} "
                f"frames, and there are {self.num_frames}: is it the text of this recording?"
            )
        lattice = lattice_of(self._spool.columns_of(self._labels))
        path = best_path(self._spool.read, self.num_frames, lattice)
        log_prob = math.fsum(path.scores.tolist())
        return [Hypothesis(tokens_of(path, labels), Scores(log_prob), len(labels))]


def tokens_of(path: Path, labels: Sequence[int]) -> tuple[Token, ...]:
    """A token for each label of the path. The frames of a token are the label's run of frames.

    labels: the labels of the states 1, 3, 5...
    """
    starts = np.flatnonzero(np.diff(path.states, prepend=-1))
    ends = np.append(starts[1:], len(path.states))
    is_label = path.states[starts] % 2 == 1
    scores = path.scores.astype(np.float64)
    means = np.add.reduceat(scores, starts) / (ends - starts)
    confidences = np.exp(np.minimum(means, 0.0))
    best = np.maximum.reduceat(scores, starts)
    runs = (array[is_label].tolist() for array in (starts, ends, best, confidences))
    return tuple(map(Token, labels, *runs))
