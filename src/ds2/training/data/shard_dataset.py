"""Utterances from shards. Each loading process reads its lanes from front to back."""

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch.utils.data import Dataset

from ds2.audio import read_audio
from ds2.errors import InputError
from ds2.shards.reading import Place, read_members
from ds2.training.config import RunConfig
from ds2.training.data.dataset import Batch, Item, SpeechDataset, loader
from ds2.training.data.examples import Example
from ds2.training.data.shard_sampler import Portion, ShardSampler, Turn, Window

IDLE = Turn(-1, ())
"""A turn in which a loading process has nothing to do."""


class LaneReader:
    """One lane of an epoch, from some minibatch on. It holds recordings until they are used."""

    def __init__(
        self, windows: Sequence[Window], places: Sequence[Place], urls: Sequence[str], first: int
    ) -> None:
        """first: the number of the first minibatch that the caller will take."""
        self._places, self._urls = places, urls
        self._ahead = [
            sum(map(len, window.batches)) for window in windows for _ in window.batches
        ]  # at each minibatch, the number of recordings to hold
        self._reading = self._read(windows, first)
        self._held: dict[int, bytes | InputError] = {}
        self.next = first

    def take(self, indices: Sequence[int]) -> list[bytes | InputError]:
        """The recordings of the next minibatch. Then the reader reads others to replace them."""
        for index in indices:
            while index not in self._held:
                self._read_one()
        taken = [self._held.pop(index) for index in indices]
        while len(self._held) < self._ahead[self.next] and self._read_one():
            pass
        self.next += 1
        return taken

    def _read_one(self) -> bool:
        found = next(self._reading, None)
        if found is None:
            return False
        self._held[found[0]] = found[1]
        return True

    def _read(
        self, windows: Sequence[Window], first: int
    ) -> Iterator[tuple[int, bytes | InputError]]:
        """All recordings that minibatches from `first` on need, in the order of the shards."""
        number = 0
        for window in windows:
            left = window.batches[max(0, first - number) :]
            number += len(window.batches)
            needed = {index for batch in left for index in batch}
            for shard, indices in window.pieces if needed else ():
                wanted = [(index, self._places[index]) for index in indices if index in needed]
                if wanted:
                    yield from read_members(self._urls[shard], wanted)


class ShardDataset(Dataset[list[Item]]):
    """Examples from shards, by turns. A loaded item depends on the seed and the turn alone."""

    def __init__(
        self,
        examples: Sequence[Example],
        urls: Sequence[str],
        items: SpeechDataset,
        sampler: ShardSampler,
    ) -> None:
        """items: makes items of the same examples' waveforms."""
        self._places = [example.place for example in examples if example.place is not None]
        self._urls = urls
        self._items = items
        self._sampler = sampler
        self._lanes: dict[int, tuple[int, list[list[int]], LaneReader]] = {}

    def __getitems__(self, turns: Sequence[Turn]) -> list[Item]:
        """The items of a turn. DataLoader calls this method by name."""
        return [item for turn in turns for portion in turn.portions for item in self._of(portion)]

    def _of(self, portion: Portion) -> Iterator[Item]:
        epoch, batches, lane = self._lanes.get(portion.lane, (None, [], None))
        if lane is None or epoch != portion.epoch or lane.next != portion.number:
            windows = self._sampler.lane(portion.epoch, portion.lane)
            batches = [batch for window in windows for batch in window.batches]
            lane = LaneReader(windows, self._places, self._urls, portion.number)
            self._lanes[portion.lane] = (portion.epoch, batches, lane)
        indices = batches[portion.number]
        for index, source in zip(indices, lane.take(indices), strict=True):
            yield self._item(portion.epoch, index, source)

    def _item(self, epoch: int, index: int, source: bytes | InputError) -> Item:
        place = self._places[index]
        if isinstance(source, InputError):
            return self._items.failed(index, str(source))
        try:
            return self._items.load(epoch, index, functools.partial(read_audio, source))
        except InputError as error:
            where = f"{self._urls[place.shard_index]}: {place.member}"
            return self._items.failed(index, f"{where}: {error}")


def load_turns(
    dataset: ShardDataset, keys: Iterable[list[Turn]], config: RunConfig, device: torch.device
) -> Iterator[Batch]:
    """The minibatches of these turns, in order. `data.num_workers` processes load them ahead.

    DataLoader asks its processes in turn. One process must always get the same lanes, so that it
    reads them from front to back. The other processes get idle turns until it is that process's
    turn.
    """
    num_workers = max(1, config.data.num_workers)
    are_idle: deque[bool] = deque()

    def in_turn() -> Iterator[list[Turn]]:
        worker = 0
        for turn in keys:
            while worker != turn[0].group % num_workers:
                are_idle.append(True)
                worker = (worker + 1) % num_workers
                yield [IDLE]
            are_idle.append(False)
            worker = (worker + 1) % num_workers
            yield turn

    for batch in loader(dataset, in_turn(), config, device):
        if not are_idle.popleft():
            yield batch
