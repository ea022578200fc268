"""Columns: long vectors of numbers, in memory or, if memory is too small, in files."""

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
"""Memory for computing on one row of a block: about thirty temporaries of 8 bytes."""
LONGEST_BLOCK = 1 << 20
"""More rows at a time gain nothing, and do not fit the processor's caches."""
DEFAULT_MEMORY = 2 << 30


class Column:
    """A vector that grows at its end.

    Raises InputError if the disk is full.
    """

    def __init__(self, dtype: npt.DTypeLike, path: Path | None = None, piece: int = 1 << 20):
        """path: the file that keeps the numbers; None: memory. piece: rows to read at once."""
        self._dtype = np.dtype(dtype)
        self._path = path
        self._piece = piece
        self._length = 0
        self._parts: list[Numbers] = []

    def __len__(self) -> int:
        return self._length

    def append(self, values: Numbers) -> None:
        """Add a block of numbers. The method converts them to the column's type."""
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
        """A range of rows. A column in memory gives a view."""
        start, stop, _ = rows.indices(self._length)
        if self._path is None:
            return self._whole()[start:stop]
        count = max(0, stop - start)
        if count == 0:
            return np.empty(0, self._dtype)
        return np.fromfile(self._path, self._dtype, count, offset=start * self._dtype.itemsize)

    def take(self, rows: Numbers) -> Numbers:
        """The numbers of any rows, in the given order.

        From a file, the method collects them in one pass from start to end, piece by piece:
        reading them one by one would be a thousand times slower.
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
        """Delete the numbers, and free their memory or file."""
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
    """The place of the columns of one computation, and the size of the blocks in memory.

    It is a context manager, which deletes the files that it made.
    """

    def __init__(self, memory: int = DEFAULT_MEMORY) -> None:
        """memory: bytes that the computation may take, as far as blocks can limit it."""
        self.memory = memory
        self.block = max(1, min(memory // 4 // BYTES_A_ROW, LONGEST_BLOCK))
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._num_files = 0

    def spill(self) -> None:
        """Put all new columns into files of a temporary directory."""
        if self._directory is None:
            self.block = max(1, self.memory // 4 // BYTES_A_ROW)  # long blocks, so few passes
            self._directory = tempfile.TemporaryDirectory(prefix="ds2-lm-")

    @property
    def spilled(self) -> bool:
        return self._directory is not None

    def column(self, dtype: npt.DTypeLike, values: Numbers | None = None) -> Column:
        """A new column, with `values` if they are given."""
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
        """Slices that together cover `length` rows."""
        for start in range(0, length, self.block):
            yield slice(start, min(start + self.block, length))

    def occurrences(self, rows: Column, length: int, kept: Column | None = None) -> Column:
        """The occurrences of each number from 0 to length - 1 in `rows`: (length,) int64.

        kept: (len(rows),) bool, the rows to count; None: all.
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
