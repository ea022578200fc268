"""The order of training: the utterances of each minibatch, and the order of the minibatches."""

import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

JITTER = 0.04
"""Largest random change of a duration, as a share of it, before utterances are sorted by it."""

Stretched = Callable[[int], np.ndarray]
"""Returns, for an epoch, the factor of every utterance's duration, (utterances,)."""


class SortaGradSampler:
    """Minibatches of utterance indices: shortest first in epoch 0, in random order afterwards.

    Long utterances have the largest and least stable CTC gradients, so Deep Speech 2 meets them
    last in its first epoch (arXiv:1512.02595, section 3.3). A minibatch holds utterances of
    similar duration, to keep padding low. It holds as many as fit in `batch_seconds` of audio with
    padding. After the first epoch the groups change a little from epoch to epoch.

    The order is a function of (seed, epoch) alone. So all processes agree on it without messages,
    and a resumed run skips exactly the minibatches that it has seen.
    """

    def __init__(
        self,
        durations_s: Sequence[float],
        *,
        batch_seconds: float,
        max_batch_size: int,
        seed: int = 0,
        sortagrad: bool = True,
        stretched: Stretched | None = None,
        shares: Sequence[float] | None = None,
    ) -> None:
        """stretched: factors of the durations in each epoch; None: the durations never change.

        shares: the share of the epochs that use each utterance, drawn anew for each; None: 1.
        """
        self._durations_s = np.asarray(durations_s, np.float64)
        self._batch_seconds = batch_seconds
        self._max_batch_size = max_batch_size
        self._seed = seed
        self._sortagrad = sortagrad
        self._stretched = stretched
        self._shares = None if shares is None else np.asarray(shares, np.float64)

    def epoch(self, epoch: int, *, skip: int = 0) -> Iterator[list[int]]:
        """The minibatches of one epoch, less the first `skip`."""
        yield from self.batches(epoch)[skip:]

    def keys(
        self, epoch: int, skip: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[list[tuple[int, int]]]:
        """One process's share of each minibatch of an epoch, as (epoch, index)."""
        for batch in self.epoch(epoch, skip=skip):
            yield [(epoch, index) for index in share(batch, rank, world_size)]

    def batches(self, epoch: int) -> list[list[int]]:
        """All minibatches of one epoch, in order. By its share, an utterance is in one or none."""
        durations_s = self._durations_s
        if self._stretched is not None:
            durations_s = durations_s * self._stretched(epoch)
        if epoch == 0 and self._sortagrad:
            order = self._drawn(np.argsort(durations_s, kind="stable"), epoch)
            return self._cut(order, durations_s)
        rng = np.random.default_rng([self._seed, epoch])
        stray = rng.uniform(1 - JITTER, 1 + JITTER, len(durations_s))
        order = self._drawn(np.argsort(durations_s * stray, kind="stable"), epoch)
        batches = self._cut(order, durations_s)
        return [batches[index] for index in rng.permutation(len(batches))]

    def checksum(self, epoch: int) -> int:
        """A number that differs from one order of minibatches to another."""
        return zlib.crc32(repr(self.batches(epoch)).encode())

    def _drawn(self, order: np.ndarray, epoch: int) -> np.ndarray:
        """The utterances of an epoch, in the same order; at least one."""
        if self._shares is None:
            return order
        # Each utterance has its turn once in 1 / share epochs. None waits longer.
        turns = np.random.default_rng([self._seed, 0, 1]).random(len(order))
        at = (turns + epoch * self._shares) % 1.0
        chosen = order[at[order] < self._shares[order]]
        return chosen if len(chosen) else order[:1]

    def _cut(self, order: np.ndarray, durations_s: np.ndarray) -> list[list[int]]:
        return cut_batches(order.tolist(), durations_s, self._batch_seconds, self._max_batch_size)


def cut_batches(
    order: Sequence[int], durations_s: np.ndarray, batch_seconds: float, max_batch_size: int
) -> list[list[int]]:
    """Minibatches of utterances in the given order, each as large as the limits allow.

    batch_seconds: seconds of audio with padding. A longer utterance is alone in its minibatch.
    """
    batches: list[list[int]] = []
    longest_s = 0.0
    for index in order:
        longest_s = max(longest_s, float(durations_s[index]))
        size = len(batches[-1]) if batches else 0
        if not batches or size == max_batch_size or (size + 1) * longest_s > batch_seconds:
            batches.append([])
            longest_s = float(durations_s[index])
        batches[-1].append(index)
    return batches


def share(batch: Sequence[int], rank: int, world_size: int) -> list[int]:
    """The part of a minibatch that one of `world_size` processes works on.

    The utterances go to the processes in turn, so that all get about the same durations.
    """
    return list(batch[rank::world_size])
