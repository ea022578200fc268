"""Counts n-grams by sorting: in memory, or in chunks that go to disk and are merged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ds2.ngram.columns import Column, Workspace
from ds2.ngram.corpus import BEGIN, END, UNKNOWN, Report, Tokens

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class CountedLevel:
    """The distinct k-grams of a text, N of them, sorted by their words, the first word first.

    So all k-grams that continue the same (k-1)-gram are neighbours, as in a trie.
    """

    words: Column  # (N,) int32, the last word of each
    parents: Column  # (N,) uint32, the index among the (k-1)-grams of all its words but the last
    suffixes: Column  # (N,) uint32, the same for all its words but the first
    counts: Column  # (N,) int64, the occurrences in the text

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def empty(cls, workspace: Workspace) -> "CountedLevel":
        return cls(
            *(workspace.column(dtype) for dtype in (np.int32, np.uint32, np.uint32, np.int64))
        )

    def append(self, words: Numbers, parents: Numbers, suffixes: Numbers, counts: Numbers) -> None:
        """Add n-grams. They must sort after all earlier ones."""
        self.words.append(words)
        self.parents.append(parents)
        self.suffixes.append(suffixes)
        self.counts.append(counts)

    def num_below(self, parent: int, workspace: Workspace) -> int:
        """The number of n-grams that continue one of the first `parent` (k-1)-grams."""
        for rows in workspace.blocks(len(self)):
            place = int(np.searchsorted(self.parents[rows], parent))
            if place < rows.stop - rows.start:
                return int(rows.start) + place
        return len(self)

    def context_blocks(self, workspace: Workspace) -> Iterator[slice]:
        """Slices that cover the level. They never divide the n-grams of one context."""
        start, size = 0, workspace.block
        while start < len(self):
            parents = self.parents[start : start + size]
            stop = start + len(parents)
            if stop < len(self) and parents[-1] == self.parents[stop : stop + 1][0]:
                stop = start + int(np.searchsorted(parents, parents[-1]))
            if stop == start:
                size *= 2  # the context has more n-grams than a block
                continue
            yield slice(start, stop)
            start, size = stop, workspace.block


class NgramCounter:
    """Counts the n-grams of orders 1 to `order` within sentences.

    Sentences go into a chunk in memory until its share of the budget is full. Then the counter
    writes the chunk's sorted n-grams to disk. In the end it merges all chunks. N-grams start at
    BEGIN or later, and no n-gram ends at BEGIN. The 1-gram BEGIN has no count.
    """

    def __init__(self, order: int, workspace: Workspace) -> None:
        self._order = order
        self._workspace = workspace
        # per token: sorting takes about 64 bytes, and every order can add an n-gram of 40 bytes
        self._capacity = max(1, workspace.memory // (64 + 40 * order))
        self._blocks: list[Tokens] = []
        self._num_pending = 0
        self._chunks: list[list[CountedLevel]] = []
        self._unigrams: Integers = np.zeros(0, np.int64)
        self.num_sentences = 0
        self.num_blank = 0  # sentences without words
        self.num_words = 0

    def add(self, tokens: Tokens) -> None:
        """Count whole sentences, each BEGIN, words, END."""
        num_sentences = int(np.count_nonzero(tokens == BEGIN))
        self.num_sentences += num_sentences
        self.num_blank += int(np.count_nonzero((tokens[:-1] == BEGIN) & (tokens[1:] == END)))
        self.num_words += len(tokens) - 2 * num_sentences
        self._blocks.append(tokens)
        self._num_pending += len(tokens)
        if self._num_pending >= self._capacity:
            self._workspace.spill()
            self._count_chunk()

    def finish(self, vocabulary_size: int, report: Report) -> list[CountedLevel]:
        """All n-grams: a level for each order. The counter cannot be used again."""
        report("counting", None)
        if self._num_pending or not self._chunks:
            self._count_chunk()
        first = CountedLevel.empty(self._workspace)
        counts = np.zeros(vocabulary_size, np.int64)
        counts[: len(self._unigrams)] = self._unigrams
        counts[[UNKNOWN, BEGIN]] = 0
        nothing = np.zeros(vocabulary_size, np.uint32)  # the empty n-gram is the parent of unigrams
        first.append(np.arange(vocabulary_size), nothing, nothing, counts)
        if len(self._chunks) == 1:
            return [first, *self._chunks[0]]
        return [first, *self._merge_all(vocabulary_size, report)]

    def _count_chunk(self) -> None:
        """Sort and count the pending sentences."""
        tokens = np.concatenate([np.zeros(0, np.int32), *self._blocks])
        self._blocks, self._num_pending = [], 0
        counts = np.bincount(tokens, minlength=len(self._unigrams))
        counts[: len(self._unigrams)] += self._unigrams
        self._unigrams = counts
        self._chunks.append(list(_levels(tokens, self._order, self._workspace)))

    def _merge_all(self, vocabulary_size: int, report: Report) -> Iterator[CountedLevel]:
        """The levels from order 2 on, of all chunks together."""
        maps: list[Column] | None = None  # of each chunk: its own index -> the merged index
        for k in range(2, self._order + 1):
            report("merging", (k - 2) / (self._order - 1))
            runs = [
                _translated(
                    chunk[k - 2],
                    None if maps is None else maps[index],
                    vocabulary_size,
                    self._workspace,
                )
                for index, chunk in enumerate(self._chunks)
            ]
            for column in maps or ():
                column.clear()
            level, maps = _merge(runs, vocabulary_size, self._workspace)
            yield level


def _levels(tokens: Tokens, order: int, workspace: Workspace) -> Iterator[CountedLevel]:
    """The k-grams of sentences for k = 2, 3, ... `order`, sorted.

    Each order needs only one sort of 64-bit numbers. The trick: a k-gram is a pair of its first
    k - 1 words, whose rank is known from the last round, and its last word.
    """
    ends = np.flatnonzero(tokens == END)
    lengths = np.diff(ends, prepend=-1)
    num_after = np.repeat(ends, lengths) - np.arange(len(tokens))  # in the sentence
    base = int(tokens.max(initial=0)) + 1
    ranks: Numbers = tokens  # of the (k-1)-gram that starts at each position
    starts = np.arange(len(tokens))
    for k in range(2, order + 1):
        starts = starts[num_after[starts] >= k - 1]
        keys = ranks[starts].astype(np.int64) * base + tokens[starts + (k - 1)]
        keys, by_key = _sorted(keys)
        is_first = np.diff(keys, prepend=-1) != 0
        firsts = np.flatnonzero(is_first)
        sorted_starts = starts[by_key]
        examples = sorted_starts[firsts]
        level = CountedLevel.empty(workspace)
        level.append(
            tokens[examples + (k - 1)],
            ranks[examples],
            ranks[examples + 1],
            np.diff(firsts, append=len(keys)),
        )
        next_ranks = np.empty(len(tokens), np.int32)
        next_ranks[sorted_starts] = np.cumsum(is_first, dtype=np.int32) - 1
        ranks = next_ranks
        yield level


def _sorted(keys: Integers) -> tuple[Integers, Integers]:
    """The keys in order, and their old places.

    If key and place fit together into 63 bits, the function sorts them as one number. This takes
    half the time of an indirect sort.
    """
    place_bits = max(1, len(keys) - 1).bit_length()
    if int(keys.max(initial=0)).bit_length() + place_bits > 63:
        order = np.argsort(keys)
        return keys[order], order
    packed = (keys << place_bits) | np.arange(len(keys))
    packed.sort()
    return packed >> place_bits, packed & ((1 << place_bits) - 1)


@dataclass(frozen=True, slots=True)
class _Run:
    """The sorted n-grams of one chunk, with indices that are valid for all chunks."""

    keys: Column  # (N,) int64, parent * vocabulary size + word: ascending
    suffixes: Column  # (N,) uint32
    counts: Column  # (N,) int64


def _translated(
    level: CountedLevel, ranks: Column | None, vocabulary_size: int, workspace: Workspace
) -> _Run:
    """A chunk's level with indices that are valid for all chunks; ranks: None for words."""
    run = _Run(workspace.column(np.int64), workspace.column(np.uint32), level.counts)
    for block in workspace.blocks(len(level)):
        parents, suffixes = level.parents[block], level.suffixes[block]
        if ranks is not None:
            parents, suffixes = ranks.take(parents), ranks.take(suffixes)
        run.keys.append(parents.astype(np.int64) * vocabulary_size + level.words[block])
        run.suffixes.append(suffixes)
    for column in (level.words, level.parents, level.suffixes):
        column.clear()
    return run


def _merge(
    runs: Sequence[_Run], vocabulary_size: int, workspace: Workspace
) -> tuple[CountedLevel, list[Column]]:
    """Merge sorted runs to one level. Also returns, for each run, its n-grams' indices there."""
    level = CountedLevel.empty(workspace)
    maps = [workspace.column(np.uint32) for _ in runs]
    size = max(1, workspace.block // len(runs))
    parts = [slice(0, 0) for _ in runs]
    while any(part.stop < len(run.keys) for run, part in zip(runs, parts, strict=True)):
        parts = _next_parts(runs, parts, size)
        pairs = list(zip(runs, parts, strict=True))
        keys, by_key = _sorted(np.concatenate([run.keys[part] for run, part in pairs]))
        suffixes = np.concatenate([run.suffixes[part] for run, part in pairs])
        counts = np.concatenate([run.counts[part] for run, part in pairs])
        is_first = np.diff(keys, prepend=-1) != 0
        firsts = np.flatnonzero(is_first)
        indices = np.empty(len(keys), np.int64)
        indices[by_key] = len(level) + np.cumsum(is_first) - 1
        ends = np.cumsum([part.stop - part.start for part in parts])
        for column, indices_of_run in zip(maps, np.split(indices, ends[:-1]), strict=True):
            column.append(indices_of_run)
        level.append(
            keys[firsts] % vocabulary_size,
            keys[firsts] // vocabulary_size,
            suffixes[by_key[firsts]],
            np.add.reduceat(counts[by_key], firsts),
        )
    for run in runs:
        for rest in (run.keys, run.suffixes, run.counts):
            rest.clear()
    return level, maps


def _next_parts(runs: Sequence[_Run], parts: Sequence[slice], size: int) -> list[slice]:
    """The rows of each run to merge after `parts`, at most `size` of each.

    They reach up to the least of the last keys of all blocks. All n-grams that are not read yet
    come after that key.
    """
    blocks = [run.keys[part.stop : part.stop + size] for run, part in zip(runs, parts, strict=True)]
    bound = min(block[-1] for block in blocks if len(block))
    return [
        slice(part.stop, part.stop + int(np.searchsorted(block, bound, "right")))
        for block, part in zip(blocks, parts, strict=True)
    ]
