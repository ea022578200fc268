"""The mean of the weights of several checkpoints: often better than any one of them."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ds2.training.data.dataset import Batch
from ds2.training.network.batch_norm import BatchNorm
from ds2.training.network.network import Network
from ds2.training.run.checkpoint import read_checkpoint

NUM_BATCHES = 100
"""Minibatches that give averaged weights their batch norm statistics."""


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the networks in some checkpoints, as a state dict. Raises InputError."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, value in read_checkpoint(path).network.items():
            total[name] = total[name] + value.double() if name in total else value.double()
    return {name: (value / len(paths)).float() for name, value in total.items()}


@torch.no_grad()
def renew_statistics(network: Network, batches: Iterable[Batch], device: torch.device) -> None:
    """Compute batch norm's running averages anew, as at the start of a run.

    The mean of the old averages would be wrong: they belong to other weights.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.num_batches.zero_()
    network.train()
    for batch in itertools.islice(batches, NUM_BATCHES):
        moved = batch.to(device)
        network(moved.features, moved.frame_lengths)
    network.eval()
