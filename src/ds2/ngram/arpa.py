"""ARPA files: back-off models as text, in the format of KenLM, SRILM, IRSTLM and others."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.files import atomic_write, open_text
from ds2.ngram.arpa_reader import FOREIGN, Reader, Section
from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import UNKNOWN
from ds2.ngram.levels import NgramLevel, SortedGrams, sorted_grams, spelled

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[Any]

BLOCK_LINES = 1 << 16
MIN_DIGITS, MAX_DIGITS = 7, 9
"""9 significant digits always give the same float32 back. For many numbers, fewer are enough."""
SMALLEST = 1e-37


def read_arpa(path: str | Path) -> tuple[list[NgramLevel], list[str]]:
    """The n-grams of a model, and its words by id: <unk>, <s>, </s>, then in the file's order.

    Models that SRILM or IRSTLM has pruned may lack n-grams with which longer ones begin or end.
    The function adds these, with the probability that backing off gives.

    Raises InputError that names the file, the line and the fault.
    """
    path = Path(path)
    with open_text(path, FOREIGN) as file:
        reader = Reader(file, path)
        counts = reader.counts()
        vocabulary, first = reader.words(counts[0])
        ids = {word: index for index, word in enumerate(vocabulary)}
        ids.setdefault(b"<UNK>", UNKNOWN)
        sections = [first]
        for k, count in enumerate(counts[1:], 2):
            sections.append(reader.section(k, count, ids, is_highest=k == len(counts)))
        reader.end()
    try:
        words = [word.decode() for word in vocabulary]
    except UnicodeDecodeError:
        raise InputError(f"{path}: its words are not UTF-8: convert the file") from None
    shapes = sorted_grams([section.rows for section in sections], len(words))
    for section, shape in zip(sections, shapes, strict=True):
        _check_distinct(section, shape, words, path)
    return _levels(sections, shapes), words


def _check_distinct(section: Section, shape: SortedGrams, words: list[str], path: Path) -> None:
    """Raises InputError for an n-gram that comes twice."""
    is_same = (np.diff(shape.parents) == 0) & (np.diff(shape.words) == 0)
    for place in np.flatnonzero(is_same)[:1]:
        row = int(shape.sources[place : place + 2].max())
        gram = " ".join(words[index] for index in section.rows[row])
        raise InputError(f'{path}:{section.lines[row]}: the n-gram "{gram}" comes twice')


def _levels(sections: Sequence[Section], shapes: Sequence[SortedGrams]) -> list[NgramLevel]:
    """The sections in order. Added n-grams get the probability that backing off gives."""
    workspace = Workspace()
    levels: list[NgramLevel] = []
    for section, shape in zip(sections, shapes, strict=True):
        probs, backoffs = section.log10_probs[shape.sources], section.log10_backoffs[shape.sources]
        added = np.flatnonzero(shape.sources < 0)
        if len(added):
            below = levels[-1]
            probs[added] = below.log10_backoffs.take(shape.parents[added])
            probs[added] += below.log10_probs.take(shape.suffixes[added])
            backoffs[added] = 0
        levels.append(
            NgramLevel(
                workspace.column(np.int32, shape.words),
                workspace.column(np.uint32, shape.parents),
                workspace.column(np.uint32, shape.suffixes),
                workspace.column(np.float32, np.minimum(probs, 0)),
                workspace.column(np.float32, backoffs),
            )
        )
    return levels


def write_arpa(
    path: str | Path,
    levels: Sequence[NgramLevel],
    vocabulary: Sequence[str],
    workspace: Workspace,
) -> None:
    """Write a model as text. A path that ends in .gz gives a compressed file.

    Every number has enough digits to give the same float32 back.
    """
    with atomic_write(path, "wb") as raw:
        if Path(path).suffix != ".gz":
            _write(raw, levels, vocabulary, workspace)
            return
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            _write(file, levels, vocabulary, workspace)


def _write(
    file: IO[bytes] | gzip.GzipFile,
    levels: Sequence[NgramLevel],
    vocabulary: Sequence[str],
    workspace: Workspace,
) -> None:
    spellings = np.empty(len(vocabulary), object)
    spellings[:] = [word.encode() for word in vocabulary]
    file.write(b"\\data\\\n")
    for k, level in enumerate(levels, 1):
        file.write(b"ngram %d=%d\n" % (k, level.num_kept(workspace)))
    for k, level in enumerate(levels, 1):
        file.write(b"\n\\%d-grams:\n" % k)
        is_highest = k == len(levels)
        line = b"%.*g\t" + b" ".join([b"%b"] * k) + (b"\n" if is_highest else b"\t%.*g\n")
        for start in range(0, len(level), BLOCK_LINES):
            rows = slice(start, min(start + BLOCK_LINES, len(level)))
            kept = level.kept_rows(rows)
            words = spellings[spelled(levels, k, start + np.flatnonzero(kept))]
            columns = [*_decimals(level.log10_probs[rows][kept]), *words.T]
            if not is_highest:
                columns += _decimals(level.log10_backoffs[rows][kept])
            fields = np.stack([column.astype(object) for column in columns], axis=1)
            file.write(line * len(fields) % tuple(fields.ravel().tolist()))
    file.write(b"\n\\end\\\n")


def _decimals(values: Floats) -> tuple[Numbers, Numbers]:
    """The digits that each float32 needs to give itself back, and the numbers: (M,) each."""
    exact = values.astype(np.float64) + 0.0  # -0 becomes 0
    magnitude = np.floor(np.log10(np.maximum(np.abs(exact), SMALLEST)))
    digits = np.full(len(exact), MAX_DIGITS)
    for fewer in range(MAX_DIGITS - 1, MIN_DIGITS - 1, -1):
        scale = 10.0 ** (fewer - 1 - magnitude)
        is_enough = (np.rint(exact * scale) / scale).astype(np.float32) == values
        digits[is_enough] = fewer
    return digits, exact
