"""Reads the parts of an ARPA file: its vocabulary and its n-grams."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.ngram.corpus import BEGIN, END, MARKS, UNKNOWN
from ds2.ngram.levels import IMPOSSIBLE, Rows

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]

BLOCK_BYTES = 1 << 22
MAX_ORDER = 8
UNSEEN_LOG10_PROB = -100.0
"""The log10 probability of <unk> in models without <unk>, as in KenLM."""
ROUNDING = 0.01
"""IRSTLM's rounding may lift a logarithm this far above 0. More is an error."""
FOREIGN = {
    b"mmap lm http://kheafield.com/code": "a KenLM binary: give the ARPA file it was made from, "
    "or make a model from texts with `ds2 lm build`",
    b"blmt": "an IRSTLM binary: convert it with compile-lm --text=yes",
    b"Qblmt": "an IRSTLM binary: convert it with compile-lm --text=yes",
    b"iARPA": "an iARPA file of IRSTLM: convert it with compile-lm --text=yes",
    b"SRILM_BINARY_NGRAM": "an SRILM binary: convert it with ngram -lm FILE -write-lm NEW.arpa",
}
"""The first bytes of other kinds of language models, and what to do with each."""
_IS_SPACE = np.array([bytes([code]).isspace() for code in range(256)])


@dataclass(frozen=True, slots=True)
class Section:
    """The M n-grams of one order, in the order of the file."""

    rows: Rows  # (M, k) int32, word ids
    log10_probs: Floats  # (M,)
    log10_backoffs: Floats  # (M,)
    lines: Integers  # (M,) the line of each


class Reader:
    """Reads an ARPA file from start to end, and counts its lines."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._buffer = b""
        self._line = 0  # number of the last line that was read

    def counts(self) -> list[int]:
        """The number of n-grams of each order, from the header."""
        line = self._next_line()
        while line is not None and line.strip() != b"\\data\\":
            line = self._next_line() if self._line < 1000 else None  # text may come before
        if line is None:
            raise InputError(f"{self._path}: is no ARPA file: it has no line \\data\\")
        counts: list[int] = []
        while (line := self._next_line()) is not None and line.strip():
            match = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line.strip())
            if not match or int(match[1]) != len(counts) + 1:
                raise self._error(f'should read "ngram {len(counts) + 1}=..."')
            counts.append(int(match[2]))
        if not counts:
            raise self._error("\\data\\ should be followed by the numbers of n-grams")
        if len(counts) > MAX_ORDER:
            raise self._error(f"has order {len(counts)}: ds2 reads at most order {MAX_ORDER}")
        return counts

    def words(self, count: int) -> tuple[list[bytes], Section]:
        """The words by id, and the 1-grams in that order."""
        marks = {mark.encode(): index for index, mark in enumerate(MARKS)} | {b"<UNK>": UNKNOWN}
        places: dict[bytes, int] = {}
        parts = list(self._blocks(1, count, is_highest=False))
        spellings = [word for words, *_ in parts for word in words[:, 0]]
        probs, backoffs, lines = (
            np.concatenate(column) for column in list(zip(*parts, strict=True))[1:]
        )
        vocabulary = [mark.encode() for mark in MARKS]
        ids = np.empty(len(spellings), np.int64)
        for row, word in enumerate(spellings):
            if word in places:
                raise self._error(f"the word {_shown(word)} comes twice", int(lines[row]))
            places[word] = row
            ids[row] = marks.get(word, len(vocabulary))
            if word not in marks:
                vocabulary.append(word)
        for mark in (BEGIN, END):
            if MARKS[mark].encode() not in places:
                raise self._error(f"the 1-grams lack {MARKS[mark]}: build it with sentence marks")
        log10_probs = np.full(len(vocabulary), UNSEEN_LOG10_PROB, np.float32)
        log10_backoffs = np.zeros(len(vocabulary), np.float32)
        all_lines = np.full(len(vocabulary), self._line)
        log10_probs[ids], log10_backoffs[ids], all_lines[ids] = probs, backoffs, lines
        rows = np.arange(len(vocabulary), dtype=np.int32)[:, None]
        return vocabulary, Section(rows, log10_probs, log10_backoffs, all_lines)

    def section(self, k: int, count: int, ids: dict[bytes, int], *, is_highest: bool) -> Section:
        """The k-grams."""
        parts = []
        for words, probs, backoffs, lines in self._blocks(k, count, is_highest=is_highest):
            found = [ids.get(word, -1) for word in words.ravel().tolist()]
            rows = np.array(found, np.int32).reshape(words.shape)
            for row, column in np.argwhere(rows < 0)[:1]:
                word = _shown(words[row, column])
                raise self._error(f"the word {word} is not among the 1-grams", int(lines[row]))
            parts.append((rows, probs, backoffs, lines))
        return Section(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def end(self) -> None:
        """Check that the end of the file is there."""
        if (line := self._next_text_line()) is None or line.strip() != b"\\end\\":
            raise self._error("\\end\\ should stand here: the file seems to be cut short")

    def _blocks(
        self, k: int, count: int, *, is_highest: bool
    ) -> Iterator[tuple[Numbers, Floats, Floats, Integers]]:
        """The k-grams, many at a time: words (M, k) bytes, log10 values (M,) (M,), lines (M,)."""
        line = self._next_text_line()
        if line is None or line.strip() != b"\\%d-grams:" % k:
            raise self._error(f"\\{k}-grams: should stand here")
        total = 0
        for text in self._texts():
            fields, starts, sizes, lines = self._fields(text, k)
            probs = self._floats(fields[starts], lines)
            if np.any(probs > ROUNDING):
                row = int(np.argmax(probs > ROUNDING))
                raise self._error(f"the log-probability {probs[row]:g} is above 0", int(lines[row]))
            backoffs = np.zeros(len(starts), np.float32)
            has_backoff = sizes == k + 2
            backoffs[has_backoff] = self._floats(
                fields[starts[has_backoff] + k + 1], lines[has_backoff]
            )
            if is_highest and np.any(backoffs):
                row = int(np.argmax(backoffs != 0))
                raise self._error(
                    "an n-gram of the highest order cannot have a back-off weight", int(lines[row])
                )
            words = fields[starts[:, None] + np.arange(1, k + 1)]
            total += len(starts)
            yield words, np.minimum(probs, 0), backoffs, lines
        if total != count:
            raise self._error(f"the header announces {count} {k}-grams, but here are {total}")
        if not total:
            nothing = np.zeros(0, np.float32)
            yield np.empty((0, k), object), nothing, nothing, np.zeros(0, np.int64)

    def _fields(self, text: bytes, k: int) -> tuple[Numbers, Integers, Integers, Integers]:
        """All fields of lines of k-grams, and per k-gram: first field, number of fields, line."""
        codes = np.frombuffer(text, np.uint8)
        is_space = _IS_SPACE[codes]
        is_start = ~is_space & np.concatenate([[True], is_space[:-1]])
        ends = np.flatnonzero(codes == ord("\n"))
        sizes = np.diff(np.cumsum(is_start)[ends], prepend=0)
        lines = np.arange(len(sizes)) + self._line + 1
        self._line += len(sizes)
        is_bad = (sizes != 0) & (sizes != k + 1) & (sizes != k + 2)
        if np.any(is_bad):
            row = int(np.argmax(is_bad))
            raise self._error(
                f"has {sizes[row]} fields: a {k}-gram has a log-probability, {k} "
                f"word{'s' * (k > 1)}, and possibly a back-off weight",
                int(lines[row]),
            )
        starts = np.cumsum(sizes) - sizes
        is_gram = sizes > 0
        fields = np.empty(int(sizes.sum()), object)
        fields[:] = text.split()
        return fields, starts[is_gram], sizes[is_gram], lines[is_gram]

    def _floats(self, fields: Numbers, lines: Integers) -> Floats:
        try:
            values = np.array(list(map(float, fields)), np.float64)
        except ValueError:
            values = np.array([_float(field) for field in fields])
        values[values == -math.inf] = IMPOSSIBLE
        if not np.all(np.isfinite(values)):
            row = int(np.argmin(np.isfinite(values)))
            raise self._error(f"{_shown(fields[row])} is not a number", int(lines[row]))
        return values.astype(np.float32)

    def _texts(self) -> Iterator[bytes]:
        """The lines of a section, without its head, many at a time. Later sections stay unread."""
        while True:
            if len(self._buffer) < BLOCK_BYTES:
                self._buffer += self._file.read(BLOCK_BYTES)
            head = 0 if self._buffer.startswith(b"\\") else self._buffer.find(b"\n\\") + 1
            is_last = head > 0 or self._buffer.startswith(b"\\")
            size = head if is_last else self._buffer.rfind(b"\n") + 1
            if not is_last and len(self._buffer) < BLOCK_BYTES:
                size, is_last = len(self._buffer), True  # the file ends here
            text, self._buffer = self._buffer[:size], self._buffer[size:]
            if text:
                yield text if text.endswith(b"\n") else text + b"\n"
            if is_last:
                return

    def _next_line(self) -> bytes | None:
        """The next line; None after the last."""
        while b"\n" not in self._buffer:
            data = self._file.read(BLOCK_BYTES)
            self._buffer += data
            if not data:
                break
        if not self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        self._line += 1
        return line

    def _next_text_line(self) -> bytes | None:
        """The next line that is not blank; None after the last."""
        while (line := self._next_line()) is not None and not line.strip():
            pass
        return line

    def _error(self, message: str, line: int | None = None) -> InputError:
        return InputError(f"{self._path}:{line or max(1, self._line)}: {message}")


def _float(field: bytes) -> float:
    try:
        return float(field)
    except ValueError:
        return math.nan


def _shown(field: bytes) -> str:
    text = field.decode(errors="backslashreplace")
    return text if len(text) <= 40 else text[:40] + "..."
