"""Columns: long vectors of numbers, in memory or, where that would not hold them, in files."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError

Numbers = npt.NDArray[Any]

BYTES_A_ROW = 256
"""What computing on one row of a block takes: some thirty temporaries of 8 bytes."""
LONGEST_BLOCK = 1 << 20
"""More rows at a time gain nothing, and no longer fit the caches of the processor."""
DEFAULT_MEMORY = 2 << 30


class Column:
    """A vector that grows at its end.

    Raises InputError where the disk is full.
    """

    def __init__(self, dtype: npt.DTypeLike, path: Path | None = None, piece: int = 1 << 20):
        """path: of the file to keep the numbers in, None for memory. piece: rows read at once."""
        self._dtype = np.dtype(dtype)
        self._path = path
        self._piece = piece
        self._length = 0
        self._parts: list[Numbers] = []

    def __len__(self) -> int:
        return self._length

    def append(self, values: Numbers) -> None:
        """Add a block of numbers; they are converted to the column's type."""
        values = np.asarray(values, self._dtype)
        self._length += len(values)
        if self._path is None:
            self._parts.append(values)
            return
        try:
            with self._path.open("ab") as file:
                file.write(values.tobytes())
        except OSError as error:
            raise InputError(
                f"{self._path.parent}: cannot be written: {str(error.strerror).lower()}: "
                "make room, set TMPDIR to a larger disk, or allow more --memory"
            ) from None

    def __getitem__(self, rows: slice) -> Numbers:
        """A stretch of rows; a column in memory gives a view."""
        start, stop, _ = rows.indices(self._length)
        if self._path is None:
            return self._whole()[start:stop]
        count = max(0, stop - start)
        if count == 0:
            return np.empty(0, self._dtype)
        return np.fromfile(self._path, self._dtype, count, offset=start * self._dtype.itemsize)

    def take(self, rows: Numbers) -> Numbers:
        """The numbers of any rows, in the order asked for.

        From a file they are collected in one pass from its start to its end, a piece at a time:
        reading one by one would be a thousand times slower.
        """
        if self._path is None:
            taken: Numbers = self._whole()[rows]
            return taken
        order = np.argsort(rows)
        ascending = rows[order].astype(np.int64)
        values = np.empty(len(rows), self._dtype)
        starts = np.arange(0, self._length + self._piece, self._piece)
        cuts = np.searchsorted(ascending, starts)
        for start, low, high in zip(starts, cuts[:-1], cuts[1:], strict=False):
            if low < high:
                piece = self[int(start) : int(start) + self._piece]
                values[order[low:high]] = piece[ascending[low:high] - start]
        return values

    def clear(self) -> None:
        """Forget the numbers, and free what they took."""
        self._length = 0
        self._parts = []
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _whole(self) -> Numbers:
        if len(self._parts) != 1:
            joined = np.concatenate(self._parts) if self._parts else np.empty(0, self._dtype)
            self._parts = [joined]
        return self._parts[0]


class Workspace:
    """Where the columns of one computation live, and how much of them is held at once.

    A context manager: the files that it made go with it.
    """

    def __init__(self, memory: int = DEFAULT_MEMORY) -> None:
        """memory: bytes that the computation may take, as far as it can be cut into blocks."""
        self.memory = memory
        self.block = max(1, min(memory // 4 // BYTES_A_ROW, LONGEST_BLOCK))
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._num_files = 0

    def spill(self) -> None:
        """From now on, new columns live in files of a temporary directory."""
        if self._directory is None:
            self.block = max(1, self.memory // 4 // BYTES_A_ROW)  # long passes, so few of them
            self._directory = tempfile.TemporaryDirectory(prefix="ds2-lm-")

    @property
    def spilled(self) -> bool:
        return self._directory is not None

    def column(self, dtype: npt.DTypeLike, values: Numbers | None = None) -> Column:
        """A new column, with these numbers if any are given."""
        path = None
        if self._directory is not None:
            self._num_files += 1
            path = Path(self._directory.name) / f"{self._num_files}.column"
        column = Column(dtype, path, self.block)
        if values is not None:
            column.append(values)
        return column

    def zeros(self, length: int) -> Column:
        """A column of zeros: (length,) float32."""
        column = self.column(np.float32)
        for rows in self.blocks(length):
            column.append(np.zeros(rows.stop - rows.start))
        return column

    def blocks(self, length: int) -> Iterator[slice]:
        """Slices that together cover so many rows."""
        for start in range(0, length, self.block):
            yield slice(start, min(start + self.block, length))

    def occurrences(self, rows: Column, length: int, kept: Column | None = None) -> Column:
        """How often each of the numbers 0 to length - 1 stands in `rows`: (length,) int64.

        kept: (len(rows),) bool, the rows to count; None for all.
        """
        result = self.column(np.int64)
        window = max(1, self.memory // 4 // 8 if self.spilled else length)
        for start in range(0, length, window):
            counts = np.zeros(min(window, length - start), np.int64)
            for block in self.blocks(len(rows)):
                numbers = rows[block] if kept is None else rows[block][kept[block]]
                if window < length:
                    numbers = numbers[(numbers >= start) & (numbers < start + len(counts))] - start
                counts += np.bincount(numbers.astype(np.int64), minlength=len(counts))
            result.append(counts)
        return result

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._directory is not None:
            self._directory.cleanup()
