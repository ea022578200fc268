"""The order of training from shards: what each process reads, from front to back, and when.

A lane is a stream of shards that one loading process reads one after another. It holds a window
of a few shards and makes minibatches of utterances with similar durations from it. It gives these
in random order. Meanwhile it reads the next window. The whole order follows from the list of
durations. So a number names a minibatch, and a resumed run opens only the shards it still needs.
"""

import heapq
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest

import numpy as np

from ds2.training.data.sampler import JITTER, cut_batches

NUM_STAGES = 16
"""Number of stages of epoch 0. Each stage reads longer utterances than the stage before."""

Piece = tuple[int, list[int]]
"""A shard and the utterances to read from it, in the shard's order."""


@dataclass(frozen=True)
class Portion:
    """The part that a lane gives to a minibatch: the lane's own minibatch `number`."""

    epoch: int
    lane: int
    number: int


@dataclass(frozen=True)
class Turn:
    """One minibatch, or a process's share of it. All turns of a group use the same lanes."""

    group: int
    portions: tuple[Portion, ...]


@dataclass
class Window:
    """The pieces of shards that a lane holds at one time, and their minibatches."""

    pieces: list[Piece]
    batches: list[list[int]]


@dataclass(frozen=True)
class ShardOrder:
    """The rules for making minibatches from shards.

    streams: (parts, groups): the parts of a minibatch, each from its own lane, and the groups of
        lanes, which take turns.
    """

    streams: tuple[int, int]
    shuffle_shards: int
    batch_seconds: float
    max_batch_size: int
    seed: int = 0
    sortagrad: bool = True


class ShardSampler:
    """Minibatches of utterance indices from shards, shortest first in epoch 0.

    Every utterance is in exactly one minibatch of an epoch. As for single files, the order is a
    function of (seed, epoch) and the lists of the shards alone.
    """

    def __init__(
        self, durations_s: Sequence[float], shard_indices: Sequence[int], order: ShardOrder
    ) -> None:
        """shard_indices: the shard of each utterance; a shard's utterances are in its order."""
        self._durations_s = np.asarray(durations_s, np.float64)
        self._order = order
        inside: dict[int, list[int]] = defaultdict(list)
        for index, shard in enumerate(shard_indices):
            inside[shard].append(index)
        self._inside = {shard: np.array(indices) for shard, indices in inside.items()}
        in_order = [(np.diff(self._durations_s[i]) >= 0).all() for i in self._inside.values()]
        self._is_sorted = all(in_order)  # as `ds2 corpus shard` writes them
        self._borders_s = borders_between(self._durations_s, NUM_STAGES)
        self._plan: tuple[int, list[list[Window]], list[Turn]] | None = None

    @property
    def num_lanes(self) -> int:
        """Number of streams that the run reads side by side."""
        return self._order.streams[0] * self._order.streams[1]

    def batches(self, epoch: int) -> list[list[int]]:
        """All minibatches of one epoch, in order. Every utterance is in exactly one."""
        lanes, turns = self._planned(epoch)
        flat = [[batch for window in lane for batch in window.batches] for lane in lanes]
        return [
            [index for portion in turn.portions for index in flat[portion.lane][portion.number]]
            for turn in turns
        ]

    def keys(
        self, epoch: int, skip: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[list[Turn]]:
        """One process's share of each minibatch of an epoch, less the first `skip`."""
        parts = self._order.streams[0]
        for turn in self._planned(epoch)[1][skip:]:
            mine = (p for p in turn.portions if p.lane % parts % world_size == rank)
            yield [Turn(turn.group, tuple(mine))]

    def checksum(self, epoch: int) -> int:
        """A number that differs from one order of minibatches to another."""
        return zlib.crc32(repr(self.batches(epoch)).encode())

    def lane(self, epoch: int, lane: int) -> list[Window]:
        """The windows that a lane reads in an epoch."""
        return self._planned(epoch)[0][lane]

    def _planned(self, epoch: int) -> tuple[list[list[Window]], list[Turn]]:
        if self._plan is None or self._plan[0] != epoch:
            parts, num_groups = self._order.streams
            rng = np.random.default_rng([self._order.seed, epoch])
            sortagrad = epoch == 0 and self._order.sortagrad
            pieces = [self._pieces(shards, sortagrad) for shards in self._dealt(rng)]
            lanes, rows = [], []
            for group in range(num_groups):
                own = pieces[group * parts : (group + 1) * parts]
                windows = self._windows(own, rng, sortagrad)
                rows.append(_rows(windows, None if sortagrad else rng))
                lanes += windows
            self._plan = (epoch, lanes, list(_turns(epoch, rows, parts)))
        return self._plan[1], self._plan[2]

    def _dealt(self, rng: np.random.Generator) -> list[list[int]]:
        """The shards of each lane, in random order; all lanes have about the same hours."""
        hours = {s: float(self._durations_s[i].sum()) for s, i in self._inside.items()}
        shuffled = rng.permutation(list(self._inside)).tolist()
        lanes: list[list[int]] = [[] for _ in range(self.num_lanes)]
        least = [(0.0, lane) for lane in range(self.num_lanes)]
        for shard in sorted(shuffled, key=hours.__getitem__, reverse=True):
            so_far, lane = heapq.heappop(least)
            lanes[lane].append(shard)
            heapq.heappush(least, (so_far + hours[shard], lane))
        return [rng.permutation(lane).tolist() if lane else [] for lane in lanes]

    def _pieces(self, shards: list[int], sortagrad: bool) -> list[list[Piece]]:
        """The pieces to read in each stage: all in one stage, or the shortest first."""
        if not (sortagrad and self._is_sorted):
            return [[(shard, self._inside[shard].tolist()) for shard in shards]]
        stages: list[list[Piece]] = [[] for _ in range(NUM_STAGES)]
        for shard in shards:
            indices = self._inside[shard]
            which = np.searchsorted(self._borders_s, self._durations_s[indices], side="right")
            for stage in np.unique(which).tolist():
                stages[stage].append((shard, indices[which == stage].tolist()))
        return stages

    def _windows(
        self, lanes: list[list[list[Piece]]], rng: np.random.Generator, sortagrad: bool
    ) -> list[list[Window]]:
        """The windows of each lane of a group. All lanes have the same number of windows."""
        num_stages = len(lanes[0])
        windows: list[list[Window]] = [[] for _ in lanes]
        for stage in range(num_stages):
            longest = max(len(lane[stage]) for lane in lanes)
            count = -(-longest // (self._order.shuffle_shards * num_stages))
            for lane, mine in zip(lanes, windows, strict=True):
                borders = np.linspace(0, len(lane[stage]), count + 1).round().astype(int).tolist()
                for start, end in pairwise(borders):
                    pieces = lane[stage][start:end]
                    mine.append(Window(pieces, self._cut(pieces, rng, sortagrad)))
        return windows

    def _cut(
        self, pieces: list[Piece], rng: np.random.Generator, sortagrad: bool
    ) -> list[list[int]]:
        """Minibatches of utterances with similar durations, from short to long."""
        indices = np.array([index for _, piece in pieces for index in piece], int)
        durations_s = self._durations_s[indices]
        stray = 1.0 if sortagrad else rng.uniform(1 - JITTER, 1 + JITTER, len(indices))
        order = indices[np.argsort(durations_s * stray, kind="stable")]
        parts = self._order.streams[0]
        return cut_batches(
            order.tolist(),
            self._durations_s,
            self._order.batch_seconds / parts,
            max(1, self._order.max_batch_size // parts),
        )


def borders_between(durations_s: np.ndarray, num_stages: int) -> np.ndarray:
    """The durations that divide utterances into stages with equal shares of the audio."""
    durations_s = np.sort(durations_s)
    shares = np.cumsum(durations_s) / durations_s.sum() * num_stages
    borders: np.ndarray = durations_s[np.searchsorted(shares, np.arange(1, num_stages))]
    return borders


def _rows(windows: list[list[Window]], rng: np.random.Generator | None) -> list[list[int | None]]:
    """For each minibatch of a group, the number of the own minibatch that each lane gives, if any.

    All parts of a minibatch have about the same durations: the lanes' batches run from short to
    long, and all lanes of the group share one shuffle (none in epoch 0).
    """
    rows: list[list[int | None]] = []
    num_given = [0] * len(windows)
    for aligned in zip(*windows, strict=True):
        num_rows = max(len(window.batches) for window in aligned)
        slots = np.full((num_rows, len(aligned)), -1)
        for lane, window in enumerate(aligned):
            count = len(window.batches)
            slots[np.arange(count) * num_rows // max(1, count), lane] = np.arange(count)
        if rng is not None:
            slots = rng.permutation(slots)
        for lane, window in enumerate(aligned):
            window.batches = [window.batches[i] for i in slots[:, lane].tolist() if i >= 0]
        for row in slots.tolist():
            numbers: list[int | None] = []
            for lane, batch in enumerate(row):
                numbers.append(num_given[lane] if batch >= 0 else None)
                num_given[lane] += batch >= 0
            rows.append(numbers)
    return rows


def _turns(epoch: int, rows: list[list[list[int | None]]], parts: int) -> Iterator[Turn]:
    """The groups' minibatches in turn, until no group has any left."""
    numbered = ([(group, row) for row in of_group] for group, of_group in enumerate(rows))
    for found in chain.from_iterable(zip_longest(*numbered)):
        if found is not None:
            group, row = found
            portions = (
                Portion(epoch, group * parts + part, number)
                for part, number in enumerate(row)
                if number is not None
            )
            yield Turn(group, tuple(portions))
