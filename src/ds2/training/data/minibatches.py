"""The minibatches of a run, from single files or from shards: their order, and their loading."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ds2.errors import InputError
from ds2.training.augment import Augmenter, SpeedPlan
from ds2.training.config import RunConfig
from ds2.training.data.dataset import Batch, SpeechDataset, load_batches
from ds2.training.data.examples import Example
from ds2.training.data.resident import ResidentSamples
from ds2.training.data.sample_cache import CachedSamples
from ds2.training.data.sampler import SortaGradSampler
from ds2.training.data.shard_dataset import ShardDataset, load_turns
from ds2.training.data.shard_sampler import ShardOrder, ShardSampler


@dataclass(frozen=True)
class Minibatches:
    """A sampler, a dataset that understands its keys, and the function that loads them."""

    config: RunConfig
    sampler: SortaGradSampler | ShardSampler
    dataset: SpeechDataset | ShardDataset
    load_keys: Callable[..., Iterable[Batch]]
    resident: ResidentSamples | None = None

    def plan(self, epoch: int) -> list[list[int]]:
        """All minibatches of one epoch, in order, as indices of examples."""
        return self.sampler.batches(epoch)

    def checksum(self, epoch: int) -> int:
        """A number that differs from one order of minibatches to another."""
        return self.sampler.checksum(epoch)

    def load(
        self,
        epochs: Iterable[int],
        skip: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[Batch]:
        """A process's share of every minibatch of these epochs, less the first `skip`."""
        keys = self._keys(epochs, skip, rank, world_size)
        batches = iter(self.load_keys(self.dataset, keys, self.config, device))
        resident = self.resident
        if resident is None:
            return batches
        return (batch.with_samples(resident.samples) for batch in batches)

    def _keys(self, epochs: Iterable[int], skip: int, rank: int, world_size: int) -> Iterator[Any]:
        for epoch in epochs:
            yield from self.sampler.keys(epoch, skip, rank, world_size)
            skip = 0


def minibatches(
    config: RunConfig,
    examples: Sequence[Example],
    shard_urls: Sequence[str] | None = None,
    augmenter: Augmenter | None = None,
    samples: CachedSamples | None = None,
    resident: ResidentSamples | None = None,
) -> Minibatches:
    """Minibatches of the examples.

    shard_urls: the shards that hold the examples, if shards hold them. samples: the samples of
    examples that are decoded already. resident: all samples on the device.
    Raises InputError for too few shards.
    """
    data, training = config.data, config.training
    durations_s = [example.duration_s for example in examples]
    plan = SpeedPlan(config.augmentation, training.seed, len(examples)) if augmenter else None
    places = resident.places if resident else None
    items = SpeechDataset(examples, config, augmenter, plan, samples, places)
    if shard_urls is None:
        sampler = SortaGradSampler(
            durations_s,
            batch_seconds=data.batch_seconds,
            max_batch_size=data.max_batch_size,
            seed=training.seed,
            sortagrad=training.sortagrad,
            stretched=(lambda epoch: 100 / plan.percents(epoch)) if plan else None,
            shares=[example.share for example in examples] if data.train_shares else None,
        )
        return Minibatches(config, sampler, items, load_batches, resident)
    shards = [example.place.shard_index for example in examples if example.place]
    streams = data.shard_streams or (1, max(1, data.num_workers))
    if len(set(shards)) < streams[0]:
        raise InputError(
            f"data.train: {len(set(shards))} shards are too few for {streams[0]} processes: each "
            "process needs one: write smaller shards with `ds2 corpus shard --shard-mb`"
        )
    order = ShardOrder(
        streams,
        data.shuffle_shards,
        data.batch_seconds,
        data.max_batch_size,
        training.seed,
        training.sortagrad,
    )
    by_shard = ShardSampler(durations_s, shards, order)
    dataset = ShardDataset(examples, shard_urls, items, by_shard)
    return Minibatches(config, by_shard, dataset, load_turns)
