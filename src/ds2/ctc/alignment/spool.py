"""Keeps the scores of a text's labels until all audio has come."""

import tempfile
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.hypothesis import BLANK
from ds2.errors import InputError

SPOOL_BYTES = 2**26
"""Scores beyond this size go to a temporary file. An hour of Mandarin has a gigabyte of scores."""
ROUNDING = 1e-3  # rounding may lift a log-probability above 0 by this much


class ScoreSpool:
    """The log-probabilities of some labels at each frame, on disk if there are many of them.

    A `with` statement or `close` frees the memory and the disk space.
    """

    def __init__(self, labels: NDArray[np.int64], *, with_best: bool = False) -> None:
        """labels: the labels whose scores to keep. with_best: also keep each frame's best score.

        The best score of a frame is the highest score of any label except the blank.
        """
        self.num_frames = 0
        self._needed = np.append(BLANK, np.unique(labels))  # the kept columns; the blank's is first
        self._with_best = with_best
        self._num_columns = len(self._needed) + with_best
        self._file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115

    def __enter__(self) -> "ScoreSpool":
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
        self._file.close()

    def columns_of(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The columns of `read` that contain the scores of these labels."""
        return np.searchsorted(self._needed, labels)

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames of log_probs.

        Raises ValueError for a wrong shape, InputError for NaN or numbers above 0, and InputError
        if the disk has no room.
        """
        if log_probs.ndim != 2 or log_probs.shape[1] <= self._needed[-1]:
            raise ValueError(
                f"log_probs are (T, V) with V above {self._needed[-1]}, not {log_probs.shape}"
            )
        if not (log_probs <= ROUNDING).all():  # also false for NaN
            raise InputError("log_probs hold NaN or numbers above 0: the model is broken")
        scores = np.empty((len(log_probs), self._num_columns), np.float32)
        scores[:, : len(self._needed)] = log_probs[:, self._needed]
        if self._with_best:
            log_probs[:, BLANK + 1 :].max(axis=1, out=scores[:, -1])
        try:
            self._file.seek(self._offset(self.num_frames))
            self._file.write(scores.tobytes())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"{tempfile.gettempdir()}: {reason}: set TMPDIR to a directory with more room"
            ) from None
        self.num_frames += len(log_probs)

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Read the scores of the frames from first to last - 1, (last - first, K) float32.

        Column 0 has the blank's scores. The labels' columns follow. With `with_best`, the last
        column has the best scores.
        """
        scores = np.empty((last - first, self._num_columns), np.float32)
        self._file.seek(self._offset(first))
        self._file.readinto(scores.data)
        return scores

    def _offset(self, frame: int) -> int:
        return frame * self._num_columns * np.dtype(np.float32).itemsize
