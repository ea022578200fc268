"""Several processes that train one network: their ranks, and sums over all of them."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ds2.errors import InputError


@dataclass(frozen=True)
class Workers:
    """This process among those that `torchrun` started. Without `torchrun` it is the only one."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0  # rank on this computer, which is also the index of the GPU

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and talks to the user."""
        return self.rank == 0

    @property
    def are_many(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    def sum_gradients(self, parameters: Iterable[Tensor], facts: Tensor) -> Tensor:
        """Replace every gradient by its sum over processes; returns the sum of `facts`, (n,).

        One exchange carries everything, so the latency counts once. A parameter without a gradient
        in this process counts as 0. The loss is divided by the size of the global batch, so the
        sums equal the gradients of one process that holds the whole batch.
        """
        if not self.are_many:
            return facts
        parameters = list(parameters)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([facts.float(), *(g.float().flatten() for g in gradients)])
        dist.all_reduce(flat)
        start = len(facts)
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[: len(facts)]

    def share_weights(self, network: nn.Module) -> None:
        """Give every process the weights of the first process, bit for bit."""
        if self.are_many:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, src=0)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes in order of rank. Every process gets the same list."""
        if not self.are_many:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def any_says(self, claim: bool) -> bool:
        """Whether the claim is true in some process. All processes must ask and get one answer."""
        return any(self.gather(claim))

    def from_first(self, value: Any) -> Any:
        """The value of the first process, for every process."""
        if not self.are_many:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]


@contextmanager
def started_workers(device: str) -> Iterator[tuple[Workers, torch.device]]:
    """Join the other processes, if any, while the context lasts.

    device: "auto" or a torch device. Raises InputError for a device that does not exist.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    workers = Workers(
        int(os.environ.get("RANK", "0")), world_size, int(os.environ.get("LOCAL_RANK", "0"))
    )
    found = choose_device(device, workers.local_rank)
    if not workers.are_many:
        yield workers, found
        return
    dist.init_process_group("nccl" if found.type == "cuda" else "gloo")
    try:
        yield workers, found
    finally:
        dist.destroy_process_group()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device with this name. "auto" is this process's GPU if there is one, or the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"training.device: {name!r} is no device: use auto, cpu or cuda") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError("training.device: this torch finds no GPU: use auto or cpu")
        if ":" not in name:
            device = torch.device("cuda", local_rank)
        if device.index >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise InputError(f"training.device: {device}, but there are {count} GPUs")
        torch.cuda.set_device(device)
    return device
