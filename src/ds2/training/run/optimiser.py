"""Optimisers and their learning rates: the paper's recipe and a quicker one."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ds2.training.config import TrainingConfig

LOWEST_SHARE = 0.01
"""Of the highest learning rate: where the cosine ends."""


def build_optimiser(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum (the paper, section 5) or AdamW, over what is to be trained.

    Weight decay is for matrices: pulling offsets and batch norm's gains to 0 means nothing.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
        )
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def learning_rate(config: TrainingConfig, step: int, epochs_done: float) -> float:
    """The learning rate of a step.

    step: 0 for the first. epochs_done: with the fraction of the epoch under way.
    """
    return config.learning_rate * _warmup(config, step) * _decay(config, step, epochs_done)


def _warmup(config: TrainingConfig, step: int) -> float:
    return min(1.0, (step + 1) / (config.warmup_steps + 1))


def _decay(config: TrainingConfig, step: int, epochs_done: float) -> float:
    if config.schedule == "annealed":
        return config.annealing ** -math.floor(epochs_done)
    if config.schedule == "cosine":
        done = min(1.0, epochs_done / config.epochs)
        return LOWEST_SHARE + (1 - LOWEST_SHARE) * (1 + math.cos(math.pi * done)) / 2
    if config.schedule == "inverse":  # inverse square root from the end of the warm-up on
        warmup = max(1, config.warmup_steps)
        return math.sqrt(warmup / max(warmup, step))
    return 1.0


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def rescale_gradient(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Shorten the gradient to `max_norm` if it is longer; returns its norm before.

    A norm that is not finite leaves the gradient as it is, for the caller to refuse.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = float(nn.utils.get_total_norm(gradients))
    if math.isfinite(norm) and norm > max_norm:
        torch._foreach_mul_(gradients, max_norm / norm)
    return norm
