"""Averages of weights over steps or checkpoints. They are often better than any single weights."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ds2.training.data.dataset import Batch
from ds2.training.network.batch_norm import BatchNorm
from ds2.training.network.network import Network
from ds2.training.run.checkpoint import read_checkpoint

NUM_BATCHES = 50
"""Minibatches that give averaged weights their batch norm statistics."""
NUM_UPDATES = "num_updates"


class WeightAverage:
    """An exponential average of a network's weights over the steps of a run.

    Batch norm's running averages are not part of it: they belong to the weights of single steps. An
    evaluation measures them for the averaged weights (`renew_statistics`) and gives them to `keep`.
    They stay valid until the next step.
    """

    def __init__(self, network: Network, decay: float, tensors: Mapping[str, Tensor]) -> None:
        """decay: share of the average that a step keeps; tensors: an earlier average, or empty."""
        self._decay = decay
        self._num_updates = int(tensors.get(NUM_UPDATES, torch.tensor(0)))
        self._weights = {
            name: tensors.get(name, parameter).detach().to(parameter.device, copy=True)
            for name, parameter in network.named_parameters()
        }
        self._statistics = {
            name: tensors[name].to(buffer.device)
            for name, buffer in network.named_buffers()
            if name in tensors
        }

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The whole average by name, for a checkpoint; statistics only if they fit the weights."""
        return {**self._weights, **self._statistics, NUM_UPDATES: torch.tensor(self._num_updates)}

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take in the weights after a step. The first steps count more, until there are many."""
        share = 1 - min(self._decay, self._num_updates / (self._num_updates + 10))
        newest = [parameter.detach() for parameter in network.parameters()]
        torch._foreach_lerp_(list(self._weights.values()), newest, share)
        self._num_updates += 1
        self._statistics = {}

    @contextmanager
    def applied(self, network: Network) -> Iterator[None]:
        """Give the network the averaged weights while the context lasts."""
        own = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict({**own, **self._weights, **self._statistics})
        try:
            yield
        finally:
            network.load_state_dict(own)

    def keep(self, network: Network) -> None:
        """Take the statistics of a network that has the averaged weights."""
        self._statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the networks in some checkpoints, as a state dict. Raises InputError."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, value in read_checkpoint(path).network.items():
            total[name] = total[name] + value.double() if name in total else value.double()
    return {name: (value / len(paths)).float() for name, value in total.items()}


@torch.no_grad()
def renew_statistics(
    network: Network,
    batches: Iterable[Batch],
    device: torch.device,
    frozen: Sequence[str] = (),
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute batch norm's running averages anew, as at the start of a run.

    The mean of the old averages would be wrong: they belong to other weights. frozen: parts whose
    averages stay. If `stop` becomes true, the function leaves the work half done.
    """
    network.train()
    for part in frozen:
        network.get_submodule(part).eval()
    for norm in network.modules():
        if isinstance(norm, BatchNorm) and norm.training:
            norm.num_batches.zero_()
    for batch in itertools.islice(batches, NUM_BATCHES):
        if stop():
            break
        moved = batch.to(device)
        network(moved.features, moved.frame_lengths)
    network.eval()
