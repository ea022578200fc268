"""One step of the optimiser: forward, loss, backward, over minibatches and processes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ds2.training.config import TrainingConfig
from ds2.training.data.dataset import Batch
from ds2.training.network.loss import ctc_losses
from ds2.training.network.network import Network
from ds2.training.optimisation.optimiser import (
    Optimisers,
    gradient_norm,
    rescale_gradient,
    set_learning_rate,
)
from ds2.training.run.distributed import Workers


@dataclass(frozen=True)
class StepResult:
    """The result of a step, the same in every process except for `errors`."""

    loss: float  # mean over the step's utterances
    gradient_norm: float  # before rescaling
    skipped: bool  # loss or gradient was not finite: the weights did not change
    culprits: list[int]  # indices of the utterances whose loss was not finite
    errors: list[str]  # utterances of this process's share that could not be loaded
    stop: bool  # a user or the system asked some process to stop


class Stepper:
    """Does the steps of a run. Its random numbers depend on the seed and the step alone."""

    def __init__(
        self,
        network: Network,
        optimisers: Optimisers,
        config: TrainingConfig,
        workers: Workers,
        device: torch.device,
        frozen: Sequence[str] = (),
    ) -> None:
        """frozen: parts of the network that stay in evaluation mode."""
        self._network = network
        self._frozen = frozen
        self._optimisers = optimisers
        self._config = config
        self._workers = workers
        self._device = device

    def step(
        self,
        batches: Iterable[Batch],
        num_utterances: int,
        step: int,
        learning_rate: float,
        stop: bool = False,
    ) -> StepResult:
        """Take one step.

        batches: this process's shares, one after another; num_utterances: the number in all shares
        of all processes. It makes the gradient that of their mean loss.
        """
        torch.manual_seed(step_seed(self._config.seed, step, self._workers.rank))
        self._training_mode()
        buffers = [buffer.clone() for buffer in self._network.buffers()]
        self._network.zero_grad()
        indices: list[int] = []
        losses: list[Tensor] = []
        errors: list[str] = []
        for batch in batches:
            losses.append(self._losses(batch))
            torch.autograd.backward(losses[-1].sum() / num_utterances)
            indices += batch.indices
            errors += batch.errors
        own = torch.cat(losses).detach()
        facts = torch.stack([own.sum(), own.new_full((), float(stop))])
        facts = self._workers.sum_gradients(self._trained(), facts)
        norm = gradient_norm(self._trained()).to(facts.dtype)
        # The only wait for the device: these numbers decide whether the weights move.
        loss_sum, stops, norm = torch.cat((facts, norm[None])).tolist()
        skipped = not (math.isfinite(loss_sum) and math.isfinite(norm))
        culprits: list[int] = []
        if skipped:
            finite = own.isfinite().tolist()
            own_culprits = [i for i, ok in zip(indices, finite, strict=True) if not ok]
            culprits = [i for part in self._workers.gather(own_culprits) for i in part]
            for buffer, before in zip(self._network.buffers(), buffers, strict=True):
                buffer.copy_(before)  # running averages may have taken in a NaN
        else:
            rescale_gradient(self._trained(), norm, self._config.max_gradient_norm)
            set_learning_rate(self._optimisers, learning_rate)
            for optimiser in self._optimisers:
                optimiser.step()
        loss = loss_sum / num_utterances
        return StepResult(loss, norm, skipped, culprits, errors, stops > 0)

    def _losses(self, batch: Batch) -> Tensor:
        """The losses of the batch's utterances, 0 for those that could not be loaded."""
        loaded = batch.frame_lengths > 0
        all_loaded, some_loaded = bool(loaded.all()), bool(loaded.any())
        num_utterances = len(batch.indices)
        # CTC needs the lengths on the host, which has them. To ask the device, it would wait.
        output_lengths = self._network.config.output_lengths(batch.frame_lengths)
        label_lengths = batch.label_lengths
        batch = batch.to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._config.bf16):
            log_probs, _ = self._network(batch.features, batch.frame_lengths)
        if all_loaded:
            return ctc_losses(log_probs, output_lengths, batch.labels, label_lengths)
        losses: Tensor = log_probs.sum((1, 2)) * 0  # keeps this process in the others' statistics
        if some_loaded:
            rows = loaded.nonzero()[:, 0]  # on the host
            on_device = rows.to(self._device)
            some = ctc_losses(
                log_probs[on_device],
                output_lengths[rows],
                batch.labels[on_device],
                label_lengths[rows],
            )
            losses = losses.index_copy(0, on_device, some)
        return losses[:num_utterances]

    def _training_mode(self) -> None:
        self._network.train()
        for part in self._frozen:
            self._network.get_submodule(part).eval()

    def _trained(self) -> list[Tensor]:
        return [p for p in self._network.parameters() if p.requires_grad]


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of one process's random numbers in one step: its dropout."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
