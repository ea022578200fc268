"""Finds the likeliest CTC alignment of a text of any length, exactly and in little memory.

A text of U labels has 2 U + 1 states. State 2 u is the blank before label u, and state 2 u + 1 is
the label itself. From one frame to the next, an alignment does one of three things (Graves et al.
2006). It stays in its state, or it goes to the next state. Or it goes from a label directly to the
next label, if the two labels differ.

The whole table of T x (2 U + 1) scores would take 100 GB for an hour of speech. So the first pass
keeps only some rows of the table. The search then goes back from the end. It computes the stretch
between two kept rows again, but only the states from which the path can continue. For a long
stretch it keeps only some rows again, and repeats this on each part. The first pass is nearly all
of the work, and a few rows are all of the memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ds2.compilation import compiled
from ds2.errors import InputError

LEAF_FRAMES = 256
"""The most frames of a stretch whose rows are all kept."""
NUM_ROWS = 16
"""The number of rows that are kept of a longer stretch."""
READ_FRAMES = 512
"""The number of frames whose scores are in memory at a time."""

ReadScores = Callable[[int, int], NDArray[np.float32]]
"""(first, last) -> the (last - first, K) float32 log-probabilities of the frames first to last - 1.

The array is C-contiguous and writeable, because numba compiles anew for any other array. Column 0
is the blank's."""


class Lattice(NamedTuple):
    """The states of a text, and the steps between them that an alignment may take."""

    columns: NDArray[np.int64]  # (U,) the column of each label's scores
    entry_scores: NDArray[np.float64]  # (U,) of a step directly from the label before: 0 or -inf


def lattice_of(columns: NDArray[np.int64]) -> Lattice:
    """The states of a text.

    columns: (U,) the column of each label in the scores
    There must be a blank between two labels that are the same.
    """
    is_repeat = np.append(False, columns[1:] == columns[:-1])
    return Lattice(columns, np.where(is_repeat, -np.inf, 0.0))


class Path(NamedTuple):
    """An alignment: the state and the score of each frame."""

    states: NDArray[np.int64]  # (T,)
    scores: NDArray[np.float32]  # (T,)


class _Row(NamedTuple):
    """The best scores of alignments up to one frame, for the states that the search needs."""

    low: int  # the index of the label in column 0
    scores: NDArray[np.float64]  # (2, W): row 0 for the blanks before labels, row 1 for labels


def best_path(
    read: ReadScores,
    num_frames: int,
    lattice: Lattice,
    *,
    leaf_frames: int = LEAF_FRAMES,
    num_rows: int = NUM_ROWS,
) -> Path:
    """The likeliest alignment.

    If several alignments are equally likely, the search goes back from the end and stays in each
    state as long as it can.

    num_frames: at least one for each label, and one for each blank that must stand between two
        equal labels
    leaf_frames, num_rows: at least 1 and 2. Larger numbers need more memory and less time. They do
        not change the path.
    Raises InputError if every alignment has a probability of 0.
    """
    search = _Search(read, num_frames, lattice, leaf_frames, num_rows)
    # The extra frame is a silence after the end that costs nothing. An alignment may end in the
    # last label or in the blank after it, and both lead to this frame.
    start = _Row(0, np.array([[0.0], [-np.inf]]))
    search.trace_back(0, num_frames + 1, 2 * len(lattice.columns), start)
    return Path(search.states[:num_frames], search.scores[:num_frames])


class _Search:
    """A running search. It fills in the path from the end."""

    def __init__(
        self,
        read: ReadScores,
        num_frames: int,
        lattice: Lattice,
        leaf_frames: int,
        num_rows: int,
    ) -> None:
        self.states = np.empty(num_frames + 1, np.int64)
        self.scores = np.empty(num_frames + 1, np.float32)
        self._read = read
        self._num_frames = num_frames
        # One more label, which no alignment enters. With it, the last blank needs no extra code.
        self._columns = np.append(lattice.columns, 0)
        self._entry_scores = np.append(lattice.entry_scores, -np.inf)
        self._leaf_frames = leaf_frames
        self._num_rows = num_rows

    def trace_back(self, first: int, last: int, state: int, row: _Row) -> int:
        """Fill in the path of the frames first..last-1. The last of these frames is in `state`.

        row: the row of the frame before the first. Returns the state in that frame.
        """
        row = _narrowed(row, (state >> 1) - (last - first + 1), state >> 1)
        if last - first <= self._leaf_frames:
            return self._trace_leaf(first, last, state, row)
        step = max(self._leaf_frames, -(-(last - first) // self._num_rows))
        rows = [row]
        for start in range(first, last - step, step):
            rows.append(self._row_after(start, start + step, state, last, rows[-1]))
        for start, before in zip(reversed(range(first, last, step)), reversed(rows), strict=True):
            state = self.trace_back(start, min(start + step, last), state, before)
        return state

    def _row_after(self, first: int, last: int, state: int, end: int, row: _Row) -> _Row:
        """The row of frame last-1, for the states that can lead to `state` at frame end-1."""
        rows = self._rows(2, row, state)
        for start in range(first, last, READ_FRAMES):
            scores = self._scores(start, min(start + READ_FRAMES, last))
            self._advance(scores, rows, start - first, state, end - start, row)
        low = max(0, (state >> 1) - (end - last + 1))
        high = min(state >> 1, row.low + row.scores.shape[1] - 1 + last - first)
        cells = slice(low - row.low + 1, high - row.low + 2)
        return _Row(low, rows[(last - first) % 2, :, cells].copy())

    def _trace_leaf(self, first: int, last: int, state: int, row: _Row) -> int:
        rows = self._rows(last - first + 1, row, state)
        scores = self._scores(first, last)
        self._advance(scores, rows, 0, state, last - first, row)
        if rows[-1, state & 1, (state >> 1) - row.low + 1] == -np.inf:
            raise InputError("every alignment of the text has a probability of 0")
        columns, entry_scores = self._columns[row.low :], self._entry_scores[row.low :]
        path, path_scores = self.states[first:last], self.scores[first:last]
        offset = 2 * row.low
        before = trace(scores, columns, entry_scores, rows, state - offset, path, path_scores)
        path += offset
        return int(before) + offset

    def _rows(self, num_rows: int, row: _Row, state: int) -> NDArray[np.float64]:
        """An array of rows, with scores only in the first row.

        Cell 0 would be the label before row.low. It stays -inf.
        """
        rows = np.full((num_rows, 2, (state >> 1) - row.low + 2), -np.inf)
        rows[0, :, 1 : row.scores.shape[1] + 1] = row.scores
        return rows

    def _advance(
        self,
        scores: NDArray[np.float32],
        rows: NDArray[np.float64],
        index: int,
        state: int,
        num_frames_left: int,
        row: _Row,
    ) -> None:
        """Fill in the rows from index+1 on. After num_frames_left frames the path is in `state`."""
        low_cell = (state >> 1) - num_frames_left - row.low + 1
        high_cell = row.scores.shape[1] + 1 + index
        columns, entry_scores = self._columns[row.low :], self._entry_scores[row.low :]
        advance(scores, columns, entry_scores, rows, index, low_cell, high_cell)

    def _scores(self, first: int, last: int) -> NDArray[np.float32]:
        if last <= self._num_frames:
            return self._read(first, last)
        scores = self._read(first, self._num_frames)
        return np.concatenate([scores, np.zeros((1, scores.shape[1]), np.float32)])


def _narrowed(row: _Row, low: int, high: int) -> _Row:
    """The row without label indices below low or above high."""
    low = max(row.low, low)
    return _Row(low, row.scores[:, low - row.low : high - row.low + 1])


@compiled
def advance(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    entry_scores: NDArray[np.float64],
    rows: NDArray[np.float64],
    index: int,
    low_cell: int,
    high_cell: int,
) -> None:
    """Fill in one row for each frame of scores, from row `index` + 1 on.

    scores: (N, K). columns, entry_scores: the values of the cells from 1 on.
    rows: (R, 2, W). Row i is in place i % R. Cells without a score have -inf.
    low_cell, high_cell: the first and the last cell to fill in, in the first of these rows. In each
    further row, both are higher by one. Cells outside the row are left out.
    """
    for frame in range(len(scores)):
        here = (index + frame) % len(rows)
        after = (index + frame + 1) % len(rows)
        low = max(1, low_cell + frame)
        high = min(rows.shape[2], high_cell + frame + 1)
        blank_score = np.float64(scores[frame, 0])
        # Slices, so that the compiler sees that the loop stays inside them, and vectorises it.
        row = scores[frame]
        column = columns[low - 1 : high - 1]
        entry_score = entry_scores[low - 1 : high - 1]
        blank = rows[here, 0, low:high]
        label = rows[here, 1, low:high]
        label_before = rows[here, 1, low - 1 : high - 1]
        new_blank = rows[after, 0, low:high]
        new_label = rows[after, 1, low:high]
        for cell in range(high - low):
            from_blank = blank[cell]
            from_label = label_before[cell]
            entered = from_label + entry_score[cell]
            best = label[cell]
            best = from_blank if from_blank > best else best
            best = entered if entered > best else best
            new_label[cell] = best + np.float64(row[column[cell]])
            best_blank = from_label if from_label > from_blank else from_blank
            new_blank[cell] = best_blank + blank_score


@compiled
def trace(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    entry_scores: NDArray[np.float64],
    rows: NDArray[np.float64],
    state: int,
    path: NDArray[np.int64],
    path_scores: NDArray[np.float32],
) -> Any:
    """Fill in a path that ends in `state`, and its scores.

    rows: (N + 1, 2, W), all rows that `advance` filled in. path: (N,). State 0 is the blank of
    cell 1. Returns the state before the first frame of the path.
    """
    for frame in range(len(path) - 1, -1, -1):
        path[frame] = state
        label = state >> 1
        cell = label + 1
        from_label = rows[frame, 1, cell - 1]
        if state & 1:
            path_scores[frame] = scores[frame, columns[label]]
            best = rows[frame, 1, cell]
            entered = from_label + entry_scores[label]
            step = 0
            if rows[frame, 0, cell] > best:
                best = rows[frame, 0, cell]
                step = 1
            if entered > best:
                step = 2
        else:
            path_scores[frame] = scores[frame, 0]
            step = 1 if from_label > rows[frame, 0, cell] else 0
        state -= step
    return state
