"""Decoded samples on the device that trains, if they fit. A minibatch then only names its place."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ds2.training.data.sample_cache import FULL_SCALE, CachedSamples, Samples

PIECE_SAMPLES = 1 << 24
"""Number of samples, about, that go to the device at once."""


@dataclass(frozen=True)
class Stored:
    """The place of one recording's samples on the device."""

    start: int
    num_samples: int

    def __len__(self) -> int:
        return self.num_samples


@dataclass(frozen=True)
class ResidentSamples:
    """The samples of all utterances, one after another.

    samples: (N,) int16 on the device; starts: (utterances + 1,), the last one N.
    """

    samples: Tensor
    starts: np.ndarray

    @property
    def places(self) -> list[Stored]:
        """The place of each utterance's samples. A loading process needs no more."""
        lengths = np.diff(self.starts)
        return [Stored(int(s), int(n)) for s, n in zip(self.starts, lengths, strict=False)]


def resident_samples(
    cached: CachedSamples, num_utterances: int, device: torch.device
) -> ResidentSamples:
    """Copy the decoded samples to a device. All utterances must be decoded."""
    starts = np.zeros(num_utterances + 1, np.int64)
    starts[1:] = np.cumsum([len(_samples_of(cached, i)) for i in range(num_utterances)])
    samples = torch.empty(int(starts[-1]), dtype=torch.int16, device=device)
    end = 0
    for piece in _pieces(cached, num_utterances):
        begin, end = end, end + len(piece)
        samples[begin:end] = torch.from_numpy(piece)
    return ResidentSamples(samples, starts)


def free_bytes(device: torch.device, limit_gb: float | None) -> float:
    """The bytes that decoded samples may take on a device.

    limit_gb: None: half of a GPU's free memory, and nothing on other devices.
    """
    if limit_gb is not None:
        return limit_gb * 1e9
    return torch.cuda.mem_get_info(device)[0] / 2 if device.type == "cuda" else 0.0


def num_bytes(cached: CachedSamples, num_utterances: int) -> int | None:
    """The size of all utterances' samples in bytes; None if some are not decoded."""
    if len(cached) < num_utterances:
        return None
    return sum(_samples_of(cached, index).nbytes for index in range(num_utterances))


def _pieces(cached: CachedSamples, num_utterances: int) -> Iterator[Samples]:
    waiting: list[Samples] = []
    for index in range(num_utterances):
        waiting.append(_samples_of(cached, index))
        if sum(map(len, waiting)) >= PIECE_SAMPLES or index == num_utterances - 1:
            yield np.concatenate(waiting)
            waiting = []


def _samples_of(cached: CachedSamples, index: int) -> Samples:
    samples = cached.get(index)
    assert samples is not None, "only decoded samples can be copied"
    return samples


def waveforms_of(samples: Tensor, stored: Tensor, longest: int) -> Tensor:
    """(B, longest) float32, 0 where padded, from samples (N,) int16.

    stored: (B, 2), start and length of each.
    """
    starts, lengths = stored.unbind(1)
    place = torch.arange(longest, device=samples.device)
    index = (starts[:, None] + place).clamp(max=len(samples) - 1)
    waveforms = samples[index].float() * (1 / FULL_SCALE)
    return waveforms * (place < lengths[:, None])
