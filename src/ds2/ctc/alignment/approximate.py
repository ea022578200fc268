"""Finds the likeliest alignment of speech with a text that differs from it, in bounded memory.

This is forced alignment (`ds2.ctc.alignment.viterbi`) with two differences:

- The speech may have words that the text lacks. Between two words, and at both ends, a frame may
  have the best score of any label. Each of these frames has a cost.
- The text may have words that nobody said. An alignment may go from the start of one word to the
  start of the next word without any frame. Each label that it leaves out has a cost.

Both costs are differences in natural logarithms. So the alignment follows the text unless the text
is less likely, by more than the cost, than the labels that the model reads without a text.

Hours of speech with hours of text would take far too much work. So at each frame the search keeps
only the states whose scores are within a beam of the best score. These states are a window that
moves with the speech. The search then goes back from the end. It computes again the choices that
led to each state, one stretch after another."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ds2.compilation import compiled, inlined, structure
from ds2.ctc.alignment.spool import ScoreSpool
from ds2.ctc.alignment.viterbi import lattice_of
from ds2.ctc.hypothesis import BLANK, Token
from ds2.errors import InputError

READ_FRAMES = 512
"""The number of frames whose scores are in memory at a time."""
STRETCH_CELLS = 2**24
"""The number of cells after which a stretch ends. The choices of a cell take one byte."""
STRETCH_FRAMES = 2**13
"""The number of frames after which a stretch ends."""

STAYED, FROM_BLANK, FROM_LABEL_BEFORE = 0, 1, 2  # the step into a label
LEFT_LABEL = 4  # the step into a blank; if the bit is not set, the alignment stayed in the blank
SKIPPED = 8  # the step into a word's start, within the frame

WINDOW = np.dtype(
    [
        ("low", np.int64),  # the first cell of the latest row
        ("high", np.int64),  # one cell after the last cell of the latest row
        ("old_low", np.int64),  # the same two cells of the row before: its scores may still be in
        ("old_high", np.int64),  # the array that the next row uses
        ("first_start", np.int64),  # the first unit of text that starts in or after the window
    ],
    align=True,
)
"""The window of the cells whose scores are kept."""


@dataclass(frozen=True)
class Tolerance:
    """The costs of leaving something out of an alignment, in natural logarithms."""

    extra_speech: float = 4.0  # cost of a frame in which the model reads something else
    missing_text: float = 3.0  # cost of a label of the text that was not said
    # the search drops alignments that are further behind the best alignment; math.inf: none
    beam: float = 4000.0

    def __post_init__(self) -> None:
        for name in ("extra_speech", "missing_text", "beam"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be above 0, not {getattr(self, name)}")
        if self.missing_text == math.inf:
            raise ValueError("missing_text: must be finite: a text may have words that nobody said")


class Stretch(NamedTuple):
    """A stretch of speech that the text lacks."""

    start_frame: int
    end_frame: int
    num_labels: int  # the number of frames in which the model reads a label
    next_unit: int  # the index of the unit of text after the stretch


@dataclass(frozen=True)
class Approximation:
    """An alignment of a text with speech. Each of the two may have parts that the other lacks."""

    tokens: tuple[tuple[Token, ...], ...]  # the tokens of each unit; empty if it was not said
    log_probs: tuple[float, ...]  # the sum over each unit's frames and the blanks after them
    extra: tuple[Stretch, ...]  # the speech that the text lacks
    num_frames: int


class ApproximateAligner:
    """A decoder that has an approximate transcript and finds the times of its units.

    A unit is a word with the space after it, or a character. The alignment has the whole unit or
    nothing of it. A `with` statement or `close` frees the scores.
    """

    def __init__(self, units: Sequence[Sequence[int]], tolerance: Tolerance) -> None:
        """units: the labels of each unit, at least one. Raises InputError if there are no units."""
        if not units:
            raise InputError("there is no text to align")
        sizes = np.array([len(unit) for unit in units], np.int64)
        self._labels = np.concatenate([np.array(unit, np.int64) for unit in units])
        if sizes.min() < 1 or self._labels.min() <= BLANK:
            raise ValueError("a unit has labels, and each is 1 or more: 0 is the blank")
        self._starts = np.append(0, np.cumsum(sizes))  # (units + 1,) labels before each unit
        self._tolerance = tolerance
        self._spool = ScoreSpool(self._labels, with_best=True)

    def __enter__(self) -> "ApproximateAligner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the scores."""
        self._spool.close()

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames. Raises the errors of `ScoreSpool.feed`."""
        self._spool.feed(log_probs)

    def best(self) -> Approximation:
        """The likeliest alignment, as if the audio ended here.

        Raises InputError if every alignment has a probability of 0.
        """
        columns = self._spool.columns_of(self._labels)
        search = _Search(self._spool, columns, self._starts, self._tolerance)
        path = search.run()
        return _approximation(path, self._labels, self._starts)


class _Path(NamedTuple):
    """The alignment of each frame. State 2 u is the blank before label u, 2 u + 1 the label."""

    states: NDArray[np.int64]  # (T,)
    scores: NDArray[np.float32]  # (T,) the score of the label or the blank
    is_extra: NDArray[np.bool_]  # (T,) whether the frame is speech that the text lacks


class _Checkpoint(NamedTuple):
    """The scores of a frame, from which the search can compute all later scores again."""

    frame: int  # the next frame
    window: Any  # a WINDOW
    scores: NDArray[np.float64]  # (2, W) the scores of the window's cells


@dataclass(frozen=True)
@structure
class Lattice:
    """The states of a text, and the scores that `advance` has reached.

    Cell u + 1 has the blank before label u, and label u."""

    columns: NDArray[np.int64]  # (W,) the column of the label's scores
    entry_scores: NDArray[np.float64]  # (W,) of a step directly from the label before: 0 or -inf
    is_start: NDArray[np.float32]  # (W,) 1 where a unit of text starts, else 0
    starts: NDArray[np.int64]  # (units + 1,) the cells where units start, and the text's end
    # (2, 2, W): frame i is in place i % 2, with the blanks' scores and the labels' scores; cells
    # outside the window have -inf
    rows: Annotated[NDArray[np.float64], 3]
    window: Annotated[Any, WINDOW, 0]
    last_index: int  # the index of the last frame, where the search drops nothing
    extra_speech: float  # `Tolerance` explains these three
    missing_text: float
    beam: float


class _Search:
    """A running search."""

    def __init__(
        self,
        spool: ScoreSpool,
        columns: NDArray[np.int64],
        starts: NDArray[np.int64],
        tolerance: Tolerance,
    ) -> None:
        self._spool = spool
        self._tolerance = tolerance
        num_cells = len(columns) + 2  # the first is before the text, the last is its end
        cell_columns = np.zeros(num_cells, np.int64)
        cell_columns[1:-1] = columns
        entry_scores = np.full(num_cells, -np.inf)
        entry_scores[1:-1] = lattice_of(columns).entry_scores
        is_start = np.zeros(num_cells, np.float32)
        is_start[starts + 1] = 1
        self._num_frames = spool.num_frames + 1  # with a silence after the end that costs nothing
        self._windows = np.empty((self._num_frames, 2), np.int64)  # each frame's low and high cell
        self._lattice = Lattice(
            cell_columns,
            entry_scores,
            is_start,
            starts + 1,
            rows=np.full((2, 2, num_cells), -np.inf),
            window=np.zeros((), WINDOW),
            last_index=self._num_frames - 1,
            extra_speech=float(tolerance.extra_speech),
            missing_text=float(tolerance.missing_text),
            beam=float(tolerance.beam),
        )

    def run(self) -> _Path:
        """The likeliest path."""
        checkpoints = self._forward()
        path = _Path(
            np.empty(self._num_frames, np.int64),
            np.empty(self._num_frames, np.float32),
            np.empty(self._num_frames, np.bool_),
        )
        place = np.array([len(self._lattice.columns) - 1, 0], np.int64)  # the blank of the end
        last = self._num_frames
        for checkpoint in reversed(checkpoints):
            self._trace(checkpoint, last, place, path)
            last = checkpoint.frame
        return _Path(path.states[:-1], path.scores[:-1], path.is_extra[:-1])

    def _forward(self) -> list[_Checkpoint]:
        """Compute the scores of all frames; returns checkpoints to compute them again."""
        self._begin()
        scratch = np.empty(len(self._lattice.columns), np.uint8)
        checkpoints = [self._checkpoint(0)]
        num_cells = 0
        for first, scores in self._pieces(0, self._num_frames):
            num_frames = first - checkpoints[-1].frame
            if num_cells > STRETCH_CELLS or num_frames >= STRETCH_FRAMES:
                checkpoints.append(self._checkpoint(first))
                num_cells = 0
            windows = self._windows[first : first + len(scores)]
            no_offsets = np.zeros(len(scores), np.int64)
            advance(self._lattice, scores, first, windows, scratch, no_offsets)
            num_cells += int((windows[:, 1] - windows[:, 0]).sum())
        if self._lattice.rows[self._num_frames % 2, 0, -1] == -np.inf:
            raise InputError("every alignment of the text has a probability of 0")
        return checkpoints

    def _begin(self) -> None:
        """Fill in the row before the first frame. The alignment may leave out words already."""
        price, starts = self._tolerance.missing_text, self._lattice.starts
        costs = price * (starts - 1)
        reached = starts[costs <= self._tolerance.beam]
        self._lattice.rows[0, 0, reached] = -costs[: len(reached)]
        self._lattice.window[()] = (1, reached[-1] + 1, 0, 0, 0)

    def _checkpoint(self, frame: int) -> _Checkpoint:
        window = self._lattice.window
        cells = slice(window["low"], window["high"])
        scores = self._lattice.rows[frame % 2, :, cells]
        return _Checkpoint(frame, window.copy(), scores.copy())

    def _restore(self, checkpoint: _Checkpoint) -> None:
        rows, window = self._lattice.rows, self._lattice.window
        rows[:] = -np.inf
        window[()] = checkpoint.window
        rows[checkpoint.frame % 2, :, window["low"] : window["high"]] = checkpoint.scores

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Read the scores of the frames first..last-1 in pieces, each with its first frame.

        The frame after the end has scores of 0.
        """
        for start in range(first, last, READ_FRAMES):
            stop = min(start + READ_FRAMES, last)
            scores = self._spool.read(start, min(stop, self._num_frames - 1))
            if stop == self._num_frames:
                scores = np.concatenate([scores, np.zeros((1, scores.shape[1]), np.float32)])
            yield start, scores

    def _trace(
        self, checkpoint: _Checkpoint, last: int, place: NDArray[np.int64], path: _Path
    ) -> None:
        """Fill in the path from the checkpoint to frame `last` - 1.

        place: the path's cell in the last of these frames, and 1 for its label or 0 for its blank.
            It becomes the place before the first of these frames.
        """
        first = checkpoint.frame
        windows = self._windows[first:last]
        offsets = np.append(0, np.cumsum(windows[:, 1] - windows[:, 0]))
        choices = np.empty(offsets[-1], np.uint8)
        self._restore(checkpoint)
        for start, scores in self._pieces(first, last):
            part = slice(start - first, start - first + len(scores))
            advance(self._lattice, scores, start, windows[part], choices, offsets[part])
        trace(choices, offsets, windows, self._lattice.starts, place, path.states[first:last])
        self._fill_scores(first, last, path)

    def _fill_scores(self, first: int, last: int, path: _Path) -> None:
        lattice = self._lattice
        for start, scores in self._pieces(first, last):
            part = slice(start, start + len(scores))
            states = path.states[part]
            columns = np.where(states % 2 == 1, lattice.columns[states // 2 + 1], 0)
            own = scores[np.arange(len(scores)), columns]
            at_start = (states % 2 == 0) & (lattice.is_start[states // 2 + 1] == 1)
            path.scores[part] = own
            path.is_extra[part] = at_start & (scores[:, -1] - self._tolerance.extra_speech > own)


@compiled
def advance(
    lattice: Lattice,
    scores: NDArray[np.float32],
    index: int,
    windows: NDArray[np.int64],
    choices: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> None:
    """Fill in one row for each frame of scores, and note the choices that led to each state.

    scores: (N, K), the scores of the frames from `index` on. Column 0 has the blank's scores, and
        the last column has the best label's scores.
    windows: (N, 2), filled in: the low and the high cell of each row
    choices: filled in. The choices of frame i begin at offsets[i], with cell windows[i, 0].
    """
    window = lattice.window
    for frame in range(len(scores)):
        here = (index + frame) % 2
        row = lattice.rows[1 - here]
        row[:, window.old_low : window.old_high] = -np.inf
        low = window.low
        reach = min(window.high + 1, row.shape[1])
        choice = choices[offsets[frame] :]
        best = _move(lattice, scores[frame], lattice.rows[here], row, low, reach, choice)
        least = -np.inf if index + frame == lattice.last_index else best - lattice.beam
        reach = _leave_out(lattice, row, low, reach, choice, least)
        windows[frame, 0], windows[frame, 1] = low, reach
        window.old_low, window.old_high = low, window.high
        _narrow(window, row, reach, least)


@inlined
def _move(
    lattice: Lattice,
    scores: NDArray[np.float32],
    row: NDArray[np.float64],
    next_row: NDArray[np.float64],
    low: int,
    reach: int,
    choices: NDArray[np.uint8],
) -> float:
    """Fill in the cells low to reach - 1 of the next row; returns its best score.

    `_leave_out` comes later, so the alignments of this row leave out no word within the frame.
    scores: (K,), the scores of the frame. choices: the choices of the cells from `low` on.
    """
    blank_score = np.float64(scores[0])
    gain = max(0.0, np.float64(scores[len(scores) - 1]) - lattice.extra_speech - blank_score)
    gain = gain if gain < 1e30 else 1e30  # 0 times infinity would be NaN
    # Slices, so that the compiler sees that the loop stays inside them, and vectorises it.
    column = lattice.columns[low:reach]
    entry_score = lattice.entry_scores[low:reach]
    start = lattice.is_start[low:reach]
    blank = row[0, low:reach]
    label = row[1, low:reach]
    label_before = row[1, low - 1 : reach - 1]
    next_blank = next_row[0, low:reach]
    next_label = next_row[1, low:reach]
    choice = choices[: reach - low]
    best = -np.inf
    for cell in range(reach - low):
        from_blank = blank[cell]
        from_label = label_before[cell]
        entered = from_label + entry_score[cell]
        score = label[cell]
        chosen = STAYED
        if from_blank > score:
            score, chosen = from_blank, FROM_BLANK
        if entered > score:
            score, chosen = entered, FROM_LABEL_BEFORE
        score += np.float64(scores[column[cell]])
        next_label[cell] = score
        blank_before = from_blank
        if from_label > blank_before:
            blank_before, chosen = from_label, chosen | LEFT_LABEL
        blank_before += blank_score + start[cell] * gain
        next_blank[cell] = blank_before
        choice[cell] = chosen
        best = max(best, score, blank_before)
    if reach == next_row.shape[1]:
        next_row[1, reach - 1] = -np.inf  # there is no label after the text
    return best


@inlined
def _leave_out(
    lattice: Lattice,
    row: NDArray[np.float64],
    low: int,
    reach: int,
    choices: NDArray[np.uint8],
    least: float,
) -> int:
    """Let alignments go from one word's start to the next; returns the row's new `reach`."""
    starts, window = lattice.starts, lattice.window
    while starts[window.first_start] < low:
        window.first_start += 1
    for place in range(window.first_start, len(starts) - 1):
        cell, next_cell = starts[place], starts[place + 1]
        if cell >= reach:
            break
        skipped = row[0, cell] - lattice.missing_text * (next_cell - cell)
        if next_cell >= reach:
            if skipped < least or skipped == -np.inf:
                break
            choices[reach - low : next_cell + 1 - low] = STAYED
            reach = next_cell + 1
        if skipped > row[0, next_cell]:
            row[0, next_cell] = skipped
            choices[next_cell - low] |= SKIPPED
    return reach


@inlined
def _narrow(window: Any, row: NDArray[np.float64], reach: int, least: float) -> None:
    """Drop the cells at both ends of the window that are too far behind the best score."""
    low = window.low
    while low < reach - 1 and max(row[0, low], row[1, low]) < least:
        row[0, low] = -np.inf
        row[1, low] = -np.inf
        low += 1
    while reach - 1 > low and max(row[0, reach - 1], row[1, reach - 1]) < least:
        reach -= 1
        row[0, reach] = -np.inf
        row[1, reach] = -np.inf
    window.low, window.high = low, reach


@compiled
def trace(
    choices: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    windows: NDArray[np.int64],
    starts: NDArray[np.int64],
    place: NDArray[np.int64],
    states: NDArray[np.int64],
) -> Any:
    """Fill in the states (N,) of the path that ends in `place`.

    choices, offsets, windows: the arrays that `advance` used
    place: the cell of the last frame, and 1 for its label or 0 for its blank. It becomes the place
        before the first frame.
    """
    cell, is_label = place[0], place[1]
    start = len(starts) - 1
    for frame in range(len(states) - 1, -1, -1):
        offset = offsets[frame] - windows[frame, 0]
        choice = choices[offset + cell]
        if is_label:
            states[frame] = 2 * cell - 1
            if choice & FROM_BLANK:
                is_label = 0
            elif choice & FROM_LABEL_BEFORE:
                cell -= 1
            continue
        while choices[offset + cell] & SKIPPED:
            while starts[start] >= cell:
                start -= 1
            cell = starts[start]
        choice = choices[offset + cell]
        states[frame] = 2 * cell - 2
        if choice & LEFT_LABEL:
            is_label = 1
            cell -= 1
    place[0], place[1] = cell, is_label
    return 0


def _approximation(
    path: _Path, labels: NDArray[np.int64], starts: NDArray[np.int64]
) -> Approximation:
    """The tokens of each unit of text, and the speech that the text lacks, from a path."""
    unit_of_label = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    tokens: list[list[Token]] = [[] for _ in range(len(starts) - 1)]
    log_probs = [0.0] * len(tokens)
    extra: list[Stretch] = []
    edges = np.flatnonzero(np.diff(path.states, prepend=-1, append=-1))
    unit = -1
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        state = int(path.states[start])
        scores = path.scores[start:end].astype(np.float64)
        if state % 2 == 1:
            unit = int(unit_of_label[state // 2])
            confidence = float(np.exp(min(0.0, scores.mean())))
            label = int(labels[state // 2])
            tokens[unit].append(Token(label, start, end, float(scores.max()), confidence))
        else:
            is_extra = path.is_extra[start:end]
            scores = scores[~is_extra]
            places = start + np.flatnonzero(is_extra)
            if len(places):
                span = Stretch(int(places[0]), int(places[-1]) + 1, len(places), unit + 1)
                extra.append(span)
        if unit >= 0:
            log_probs[unit] += float(scores.sum())
    return Approximation(
        tuple(map(tuple, tokens)), tuple(log_probs), tuple(_joined(extra)), len(path.states)
    )


def _joined(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """Join the stretches that stand before the same unit of text."""
    last: Stretch | None = None
    for stretch in stretches:
        if last is not None and last.next_unit == stretch.next_unit:
            num_labels = last.num_labels + stretch.num_labels
            last = last._replace(end_frame=stretch.end_frame, num_labels=num_labels)
            continue
        if last is not None:
            yield last
        last = stretch
    if last is not None:
        yield last
