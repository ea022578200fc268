"""The file of a language model: a trie that ds2 maps into memory and uses without reading it in.

Layout, little-endian: a prefix (magic, format version, length and CRC of the header), the header
in JSON, and from HEADER_BYTES on the sections that it lists, each on a multiple of 64 bytes.

Nodes have numbers, level by level: the root (0) is the empty n-gram, then come the words by id
(node 1 + id), the bigrams sorted by their words, and so on. Nodes below the highest order, the C
contexts, can have children. The children of node i are contexts[i, 0] to contexts[i + 1, 0] - 1.

    contexts        (C + 1, 2) uint32: the first child, and the shorter context to back off to
    words           (N,) uint16: the last word of each node, its lower 16 bits
    words_high      (N,) uint8: its higher bits; empty where 16 are enough
    probs           (N,) float32: log10 probabilities; empty if there are codes
    backoffs        (C,) float32: log10 back-off weights; empty if there are codes
    prob_codes      (N,) uint16; empty if there are float32
    backoff_codes   (C,) uint16; empty if there are float32
    spellings       (bytes,) uint8: the words in UTF-8, one in each line
    spelling_ends   (V,) uint32: the end of each line
    hashes          (V,) uint32: CRC-32 of the words, ascending
    hashed_words    (V,) uint32: the id of the word with each of these hashes
"""

import json
import mmap
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.files import missing_file
from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import Unit
from ds2.ngram.levels import NgramLevel

Numbers = npt.NDArray[Any]

MAGIC = b"ds2-lm\r\n"  # shows at once if a transfer has "corrected" line ends
FORMAT_VERSION = 1
PREFIX = struct.Struct("<8sIII")
HEADER_BYTES = 8192
NUM_CODES = 1 << 16


@dataclass(frozen=True)
class ModelFacts:
    """The unit, language and origin of a model."""

    unit: Unit
    language: str | None = None  # the language of the normaliser of its text
    origin: Mapping[str, Any] = field(default_factory=dict)  # how it was made, for people


@dataclass(frozen=True, slots=True)
class Codes:
    """The numbers that 16-bit codes stand for: evenly spaced, except for code 0.

    For probabilities, code 0 is the lowest, which is often far from all others (-99 in models of
    SRILM). For back-off weights, it is 0, because many contexts have no weight.
    """

    special: float
    first: float  # the number of code 1
    step: float

    def encode(self, values: Numbers) -> npt.NDArray[np.uint16]:
        """The nearest codes."""
        codes = np.rint((values - np.float64(self.first)) / self.step) + 1
        codes = np.clip(codes, 1, NUM_CODES - 1)
        return np.where(values == np.float32(self.special), 0, codes).astype(np.uint16)

    def decode(self, codes: Numbers) -> npt.NDArray[np.float32]:
        """The numbers that codes stand for."""
        values = self.first + (codes - np.float64(1)) * self.step
        return np.where(codes == 0, self.special, values).astype(np.float32)


@dataclass(frozen=True, slots=True)
class MappedModel:
    """An open file of a model."""

    where: str
    facts: ModelFacts
    counts: tuple[int, ...]  # n-grams of order 1, 2, ...
    codes: dict[str, Codes]  # of prob_codes and backoff_codes; empty if the numbers are exact
    sections: dict[str, Numbers]  # read-only
    checksums: dict[str, int]
    num_bytes: int

    def verify(self) -> None:
        """Read the whole file and compare checksums. Raises InputError if one differs."""
        for name, section in self.sections.items():
            if zlib.crc32(np.ascontiguousarray(section).data) != self.checksums[name]:
                raise InputError(f"{self.where}: {name}: is damaged: copy or build it again")

    def levels(self) -> list[NgramLevel]:
        """Its n-grams, order by order, in memory."""
        workspace = Workspace()
        contexts = self.sections["contexts"][:, 0].astype(np.int64)
        words = self.sections["words"].astype(np.int64)
        if len(self.sections["words_high"]):
            words |= self.sections["words_high"].astype(np.int64) << 16
        probs, backoffs = (self._numbers(name) for name in ("prob", "backoff"))
        firsts = np.cumsum([0, 1, *self.counts])
        parents = suffixes = np.zeros(0, np.int64)
        keys = np.zeros(1, np.int64)
        levels = []
        for k in range(1, len(self.counts) + 1):
            below, level = firsts[k - 1], slice(firsts[k], firsts[k + 1])
            sizes = np.diff(contexts[below : firsts[k] + 1])
            parents = np.repeat(np.arange(len(sizes)), sizes)
            # the suffix of an n-gram is the suffix of its parent, continued by its last word
            if k == 1:
                suffixes = np.zeros(self.counts[0], np.int64)
            elif k == 2:
                suffixes = words[level]
            else:
                suffixes = np.searchsorted(keys, suffixes[parents] * self.counts[0] + words[level])
            keys = parents * self.counts[0] + words[level]
            weights = backoffs[level] if k < len(self.counts) else np.zeros(self.counts[-1])
            levels.append(
                NgramLevel(
                    workspace.column(np.int32, words[level]),
                    workspace.column(np.uint32, parents),
                    workspace.column(np.uint32, suffixes),
                    workspace.column(np.float32, probs[level]),
                    workspace.column(np.float32, weights),
                )
            )
        return levels

    def unigram_log10_probs(self) -> npt.NDArray[np.float32]:
        """(V,) log10 probabilities of single words, by word id."""
        return self._numbers("prob", slice(1, 1 + self.counts[0]))

    def _numbers(self, name: str, nodes: slice = slice(None)) -> npt.NDArray[np.float32]:
        codes = self.codes.get(f"{name}_codes")
        if codes:
            return codes.decode(self.sections[f"{name}_codes"][nodes])
        return self.sections[f"{name}s"][nodes]


def is_model(path: Path) -> bool:
    """Whether the file begins like a model of ds2. Raises InputError if ds2 cannot read it."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {str(error.strerror).lower()}") from None


def map_model(path: Path) -> MappedModel:
    """Map a model into memory. The time does not depend on its size.

    Raises InputError for a file of another kind, of another version, or that is cut short.
    """
    with path.open("rb") as file:
        return open_model(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), str(path))


def open_model(data: bytes | mmap.mmap, where: str) -> MappedModel:
    """The model in these bytes. See `map_model`."""
    if len(data) < HEADER_BYTES:
        raise InputError(f"{where}: is cut short: copy or build it again")
    _, version, length, crc = PREFIX.unpack(data[: PREFIX.size])
    if version != FORMAT_VERSION:
        raise InputError(
            f"{where}: has format version {version}, and this ds2 reads {FORMAT_VERSION}: "
            "build it again, or use the ds2 that made it"
        )
    text = data[PREFIX.size : PREFIX.size + length]
    if zlib.crc32(text) != crc:
        raise InputError(f"{where}: its header is damaged: copy or build it again")
    header = json.loads(text)
    if len(data) != header["length"]:
        raise InputError(
            f"{where}: has {len(data)} bytes and should have {header['length']}: "
            "copy or build it again"
        )
    sections = {
        name: np.frombuffer(
            data, np.dtype(part["dtype"]), int(np.prod(part["shape"])), part["offset"]
        ).reshape(part["shape"])
        for name, part in header["sections"].items()
    }
    return MappedModel(
        where,
        ModelFacts(header["unit"], header["language"], header["origin"]),
        tuple(header["counts"]),
        {name: Codes(**code) for name, code in header["codes"].items()},
        sections,
        {name: part["crc"] for name, part in header["sections"].items()},
        len(data),
    )
