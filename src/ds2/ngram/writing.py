"""Writes a language model's file, block by block. ds2.ngram.binary describes the layout."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.ngram.binary import (
    FORMAT_VERSION,
    HEADER_BYTES,
    MAGIC,
    NUM_CODES,
    PREFIX,
    Codes,
    ModelFacts,
)
from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import BEGIN
from ds2.ngram.levels import NgramLevel
from ds2.ngram.trie import trie_nodes

Numbers = npt.NDArray[Any]

ALIGNMENT = 64


def write_model(
    file: IO[bytes],
    levels: Sequence[NgramLevel],
    vocabulary: Sequence[str],
    facts: ModelFacts,
    workspace: Workspace,
    *,
    exact: bool = False,
) -> None:
    """Write a model into a file that can seek.

    vocabulary: the spelling of every row of the first level.
    exact: keep float32 numbers, instead of codes of 16 bits.

    Raises InputError for more n-grams than the format can number.
    """
    counts = [level.num_kept(workspace) for level in levels]
    num_nodes = 1 + sum(counts)
    if num_nodes >= 1 << 32:
        raise InputError(f"{num_nodes - 1} n-grams are more than a model can hold: prune more")
    codes = {} if exact else _codes(levels, workspace)
    has_high = counts[0] > 1 << 16
    tables = _vocabulary_tables(vocabulary, levels[0])
    sections, offset = _sections(counts, tables, exact=exact)
    probs, backoffs = ("prob_codes", "backoff_codes") if codes else ("probs", "backoffs")
    for name in (probs, backoffs, "words", *(["words_high"] if has_high else [])):
        sections[name].append(file, np.zeros(1))  # of the root
    sections["contexts"].append(file, np.array([[1, 0]]))
    for nodes in trie_nodes(levels, counts, workspace):
        sections["contexts"].append(file, nodes.contexts)
        sections["words"].append(file, nodes.words & 0xFFFF)
        if has_high:
            sections["words_high"].append(file, nodes.words >> 16)
        for name, values in ((probs, nodes.log10_probs), (backoffs, nodes.log10_backoffs)):
            sections[name].append(file, codes[name].encode(values) if codes else values)
    sections["contexts"].append(file, np.array([[num_nodes, 0]]))
    for name, table in tables.items():
        sections[name].append(file, table)
    header = {
        **asdict(facts),
        "counts": counts,
        "codes": {name: asdict(code) for name, code in codes.items()},
        "length": offset,
        "sections": {name: asdict(section) for name, section in sections.items()},
    }
    _write_header(file, header)


def file_size(
    counts: Sequence[int], vocabulary: Sequence[str], level: NgramLevel, *, exact: bool = False
) -> int:
    """The size in bytes of the file of a model with so many n-grams of each order.

    vocabulary: the spelling of every row of `level`, the first level.
    """
    return _sections(counts, _vocabulary_tables(vocabulary, level), exact=exact)[1]


def save_model(
    path: str | Path,
    levels: Sequence[NgramLevel],
    vocabulary: Sequence[str],
    facts: ModelFacts,
    workspace: Workspace,
    *,
    exact: bool = False,
) -> None:
    """Write a model for `NgramModel.load`; see `write_model`."""
    with atomic_write(path, "wb") as file:
        write_model(file, levels, vocabulary, facts, workspace, exact=exact)


@dataclass(slots=True)
class _Section:
    """A part of the file that is written block by block."""

    dtype: str
    shape: tuple[int, ...]
    offset: int = 0
    crc: int = 0
    num_bytes: int = 0  # written so far

    def place(self, offset: int) -> int:
        """Take the next aligned place. Returns the offset at which the section will end."""
        self.offset = -(-offset // ALIGNMENT) * ALIGNMENT
        return self.offset + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def append(self, file: IO[bytes], values: Numbers) -> None:
        """Write more of the section's numbers."""
        data = np.ascontiguousarray(values, self.dtype).tobytes()
        if data:
            file.seek(self.offset + self.num_bytes)
            file.write(data)
            self.crc = zlib.crc32(data, self.crc)
            self.num_bytes += len(data)


def _sections(
    counts: Sequence[int], tables: Mapping[str, Numbers], *, exact: bool
) -> tuple[dict[str, _Section], int]:
    """The sections of a file, each in its place, and the length of the file."""
    num_nodes, num_contexts = 1 + sum(counts), 1 + sum(counts[:-1])
    has_high = counts[0] > 1 << 16
    sections = {
        "contexts": _Section("<u4", (num_contexts + 1, 2)),
        "words": _Section("<u2", (num_nodes,)),
        "words_high": _Section("|u1", (num_nodes if has_high else 0,)),
        "probs": _Section("<f4", (num_nodes if exact else 0,)),
        "backoffs": _Section("<f4", (num_contexts if exact else 0,)),
        "prob_codes": _Section("<u2", (0 if exact else num_nodes,)),
        "backoff_codes": _Section("<u2", (0 if exact else num_contexts,)),
    }
    sections |= {name: _Section(table.dtype.str, table.shape) for name, table in tables.items()}
    offset = HEADER_BYTES
    for section in sections.values():
        offset = section.place(offset)
    return sections, offset


def _codes(levels: Sequence[NgramLevel], workspace: Workspace) -> dict[str, Codes]:
    """Codes that span the values of all n-grams."""
    probs: list[float] = []  # holds the lowest two and the highest of all values
    backoffs: list[float] = [-1.0]
    for k, level in enumerate(levels, 1):
        for rows in workspace.blocks(len(level)):
            kept = level.kept_rows(rows)
            if k == 1 and rows.start <= BEGIN < rows.stop:
                kept = kept & (np.arange(rows.start, rows.stop) != BEGIN)  # never predicted
            values = level.log10_probs[rows][kept]
            if len(values):
                above = values[values > values.min()]
                probs += [float(values.min()), float(values.max())]
                probs += [float(above.min())] if len(above) else []
            weights = level.log10_backoffs[rows]
            weights = weights[weights != 0]
            if len(weights):
                backoffs += [float(weights.min()), float(weights.max())]
    lowest = min(probs)
    first = min((value for value in probs if value > lowest), default=lowest)
    return {
        "prob_codes": _spanning(lowest, first, max(probs)),
        "backoff_codes": _spanning(0.0, min(backoffs), max(backoffs)),
    }


def _spanning(special: float, low: float, high: float) -> Codes:
    return Codes(special, low, max(high - low, 1e-6) / (NUM_CODES - 2))


def _vocabulary_tables(vocabulary: Sequence[str], level: NgramLevel) -> dict[str, Numbers]:
    """The sections for the words that pruning left."""
    kept = level.kept_rows(slice(0, len(level)))
    words = [word.encode() for word, is_kept in zip(vocabulary, kept, strict=True) if is_kept]
    hashes = np.fromiter(map(zlib.crc32, words), np.uint32, len(words))
    by_hash = np.argsort(hashes, kind="stable")
    return {
        "spellings": np.frombuffer(b"\n".join(words) + b"\n", np.uint8),
        "spelling_ends": np.cumsum([len(word) + 1 for word in words]).astype(np.uint32),
        "hashes": hashes[by_hash],
        "hashed_words": by_hash.astype(np.uint32),
    }


def _write_header(file: IO[bytes], header: Mapping[str, Any]) -> None:
    data = json.dumps(header, ensure_ascii=False).encode()
    if PREFIX.size + len(data) > HEADER_BYTES:
        raise ValueError("origin: is too long for the header")
    file.seek(0)
    file.write(PREFIX.pack(MAGIC, FORMAT_VERSION, len(data), zlib.crc32(data)) + data)
