"""Forced alignment: when each label of a known text was said."""

import itertools
import math
import tempfile
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.hypothesis import BLANK, Hypothesis, Scores, Token
from ds2.ctc.viterbi import Path, best_path, lattice_of
from ds2.errors import InputError

SPOOL_BYTES = 2**26
"""Scores beyond this go to a temporary file: an hour of Mandarin has a gigabyte of them."""
FEED_FRAMES = 1024
"""Frames that `align` takes at a time."""
ROUNDING = 1e-3  # a log-probability may be so much above 0


def align(log_probs: NDArray[np.float32], labels: Sequence[int]) -> Hypothesis:
    """The likeliest alignment of the labels: a token for each, and the alignment's log-probability.

    log_probs: (T, V), natural logarithms; may be a memory map, which is read a piece at a time.

    Raises InputError if there is no alignment.
    """
    with ForcedAligner(labels) as aligner:
        for start in range(0, max(1, len(log_probs)), FEED_FRAMES):
            aligner.feed(log_probs[start : start + FEED_FRAMES])
        return aligner.best()[0]


def num_frames_needed(labels: Sequence[int]) -> int:
    """The fewest frames an alignment can have: between equal neighbours there must be a blank."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


class ForcedAligner:
    """A decoder that knows the text: of each label it finds the time.

    It keeps, of each frame, the scores of the text's own labels, on disk if they are many; a
    `with` statement or `close` lets go of them. A token lasts as long as the alignment stays in
    its label; its confidence is the geometric mean of the label's probability over these frames.
    """

    def __init__(self, labels: Sequence[int]) -> None:
        """Raises InputError if there are no labels."""
        if not labels:
            raise InputError("there is no text to align")
        self.num_frames = 0
        self._labels = np.array(labels, np.int64)
        if self._labels.min() <= BLANK:
            raise ValueError("labels are from 1 on: 0 is the blank")
        self._needed = np.append(BLANK, np.unique(self._labels))  # columns kept
        self._file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115

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
        """Let go of the scores."""
        self._file.close()

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames. Raises InputError for what are no log_probs."""
        if log_probs.ndim != 2 or log_probs.shape[1] <= self._needed[-1]:
            raise ValueError(
                f"log_probs are (T, V) with V above {self._needed[-1]}, not {log_probs.shape}"
            )
        if not (log_probs <= ROUNDING).all():  # which NaN is not, either
            raise InputError("log_probs hold NaN or more than 0: the model is broken")
        needed = np.take(log_probs, self._needed, axis=1).astype(np.float32, copy=False)
        try:
            self._file.seek(self._offset(self.num_frames))
            self._file.write(needed.tobytes())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"{tempfile.gettempdir()}: {reason}: set TMPDIR to a directory with more room"
            ) from None
        self.num_frames += len(log_probs)

    def best(self, n: int = 1, *, is_final: bool = True) -> list[Hypothesis]:
        """The text with its times, as if the audio ended here, whatever n and is_final.

        Its score is that of the one alignment. Raises InputError if there is none.
        """
        del n, is_final
        labels: list[int] = self._labels.tolist()
        needed = num_frames_needed(labels)
        if needed > self.num_frames:
            raise InputError(
                f"the text is too long for the audio: its {len(labels)} labels need {needed} "
                f"frames, and there are {self.num_frames}: is it the text of this recording?"
            )
        lattice = lattice_of(np.searchsorted(self._needed, self._labels))
        path = best_path(self._read, self.num_frames, lattice)
        log_prob = math.fsum(path.scores.tolist())
        return [Hypothesis(_tokens(path, labels), Scores(log_prob), len(labels))]

    def _read(self, first: int, last: int) -> NDArray[np.float32]:
        scores = np.empty((last - first, len(self._needed)), np.float32)
        self._file.seek(self._offset(first))
        self._file.readinto(scores.data)
        return scores

    def _offset(self, frame: int) -> int:
        return frame * len(self._needed) * np.dtype(np.float32).itemsize


def _tokens(path: Path, labels: Sequence[int]) -> tuple[Token, ...]:
    """A token for each label, from its run of frames."""
    starts = np.flatnonzero(np.diff(path.states, prepend=-1))
    ends = np.append(starts[1:], len(path.states))
    is_label = path.states[starts] % 2 == 1
    scores = path.scores.astype(np.float64)
    means = np.add.reduceat(scores, starts) / (ends - starts)
    confidences = np.exp(np.minimum(means, 0.0))
    best = np.maximum.reduceat(scores, starts)
    runs = (array[is_label].tolist() for array in (starts, ends, best, confidences))
    return tuple(map(Token, labels, *runs))
