"""The learning rate of each step: warm-up, schedule, final decay."""

import math

from ds2.training.config import TrainingConfig

LOWEST_SHARE = 0.01
"""Share of the highest learning rate at which the cosine ends."""


def learning_rate(
    config: TrainingConfig, step: int, epochs_done: float, hours_done: float = 0.0
) -> float:
    """The learning rate of a step.

    step: 0 for the first. epochs_done: includes the fraction of the current epoch. hours_done:
    hours of audio heard before the step.
    """
    rate = config.learning_rate * _warmup(config, step)
    return rate * _decay(config, step, epochs_done, hours_done) * _finish(config, hours_done)


def _warmup(config: TrainingConfig, step: int) -> float:
    return min(1.0, (step + 1) / (config.warmup_steps + 1))


def _decay(config: TrainingConfig, step: int, epochs_done: float, hours_done: float) -> float:
    if config.schedule == "annealed":
        return config.annealing ** -math.floor(epochs_done)
    if config.schedule == "cosine":
        done = epochs_done / config.epochs if config.hours is None else hours_done / config.hours
        return LOWEST_SHARE + (1 - LOWEST_SHARE) * (1 + math.cos(math.pi * min(1.0, done))) / 2
    if config.schedule == "inverse":  # inverse square root from the end of the warm-up on
        warmup = max(1, config.warmup_steps)
        return math.sqrt(warmup / max(warmup, step))
    return 1.0


def _finish(config: TrainingConfig, hours_done: float) -> float:
    """The share of the rate that the final decay leaves: 1 before it, 0 at the end of the run."""
    if config.hours is None or not config.decay_hours:
        return 1.0
    left = min(1.0, max(0.0, (config.hours - hours_done) / config.decay_hours))
    return left if config.decay_shape == "linear" else 1 - math.sqrt(1 - left)
