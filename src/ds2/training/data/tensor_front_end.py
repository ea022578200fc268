"""Augmentation and features as tensor operations: the work of `changes` and `features`, by batch.

Loading processes draw the random values and leave the work to the device. Nothing here waits for
the device: all shapes are known before the batch gets there. The results equal those of the numpy
front end up to rounding; a test compares them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ds2.model.features import FeatureConfig, Floats, power_ratio, unit_power_window
from ds2.training.augment import Changes, length_at_speed
from ds2.training.changes import REACH, SILENCE, band_filter, speed_filters, warped_bins
from ds2.training.data.resident import Stored, waveforms_of


@dataclass(frozen=True)
class BatchChanges:
    """The changes to each utterance; None for a change that no utterance has.

    speeds: the rows (n,) played at each percentage; tails: rows (n,) and (n, R); noise: rows,
    (n, N'), and signal-to-noise ratios (n,) in dB; filters: rows and (n, taps), an odd number.
    gains, changed: (B,); warps: (B, F) bins below and shares of the bins above.
    time_masks, frequency_masks: (B, masks, 2), first and one after the last; equal for no mask.
    """

    changed: Tensor
    time_masks: Tensor
    frequency_masks: Tensor
    gains: Tensor
    speeds: tuple[tuple[int, Tensor], ...] = ()
    tails: tuple[Tensor, Tensor] | None = None
    noise: tuple[Tensor, Tensor, Tensor] | None = None
    filters: tuple[Tensor, Tensor] | None = None
    warps: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class RawUtterances:
    """Waveforms side by side, and the changes to them.

    waveforms: (B, N) float32, 0 where padded; lengths: (B,) of the changed waveforms; num_samples:
    the longest of these lengths.
    stored, samples: in place of waveforms, which are then (B, 0): start and length (B, 2) of each
    waveform in all samples (S,) int16, which stay on the device; longest: N.
    """

    waveforms: Tensor
    lengths: Tensor
    num_samples: int
    changes: BatchChanges
    config: FeatureConfig
    longest: int
    stored: Tensor | None = None
    samples: Tensor | None = None

    def each(self, act: Callable[[Tensor], Tensor]) -> "RawUtterances":
        """The utterances with `act(tensor)` in place of every tensor."""
        return RawUtterances(
            act(self.waveforms),
            act(self.lengths),
            self.num_samples,
            replace(
                self.changes,
                **{f.name: _each(getattr(self.changes, f.name), act) for f in fields(BatchChanges)},
            ),
            self.config,
            self.longest,
            None if self.stored is None else act(self.stored),
            self.samples,
        )


def _each(value: Any, act: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return act(value)
    return tuple(_each(part, act) for part in value) if isinstance(value, tuple) else value


def side_by_side(
    waveforms: Sequence[Floats | Stored], changes: Sequence[Changes], config: FeatureConfig
) -> RawUtterances:
    """Utterances and their changes as tensors, on the CPU. A missing utterance has no samples.

    waveforms: (N,) float32 each; or, for all of them, the place of their samples on the device.
    """
    longest = max([1, *map(len, waveforms)])
    lengths = [
        length_at_speed(len(w), c.speed_percent) for w, c in zip(waveforms, changes, strict=True)
    ]
    num_samples = max([1, *lengths])
    by_speed: dict[int, list[int]] = defaultdict(list)
    for row, change in enumerate(changes):
        if change.speed_percent != 100:
            by_speed[change.speed_percent].append(row)
    bands = [band_filter(c.bands) if c.bands else None for c in changes]
    together = BatchChanges(
        changed=torch.tensor([c.waveform_changes for c in changes]),
        time_masks=_masks([c.time_masks for c in changes]),
        frequency_masks=_masks([c.frequency_masks for c in changes]),
        gains=torch.tensor([c.gain for c in changes], dtype=torch.float32),
        speeds=tuple((percent, torch.tensor(rows)) for percent, rows in by_speed.items()),
        tails=_padded([c.tail for c in changes]),
        filters=_padded(bands, centred=True),
        warps=_warps([c.vocal_tract for c in changes], config.num_bins),
    )
    noise = _padded([c.noise for c in changes], num_samples)
    if noise is not None:
        ratios = torch.tensor([c.noise_snr_db for c in changes if c.noise is not None])
        together = replace(together, noise=(*noise, ratios))
    here = [waveform for waveform in waveforms if not isinstance(waveform, Stored)]
    stored = [(each.start, len(each)) for each in waveforms if isinstance(each, Stored)]
    rows = _rows(here, longest) if not stored else np.zeros((len(stored), 0), np.float32)
    return RawUtterances(
        torch.from_numpy(rows),
        torch.tensor(lengths),
        num_samples,
        together,
        config,
        longest,
        torch.tensor(stored) if stored else None,
    )


def _rows(arrays: Sequence[Floats], width: int) -> Floats:
    rows = np.zeros((len(arrays), width), np.float32)
    for row, array in zip(rows, arrays, strict=True):
        row[: len(array)] = array
    return rows


def _padded(
    arrays: Sequence[Floats | None], width: int = 0, *, centred: bool = False
) -> tuple[Tensor, Tensor] | None:
    """The rows that have an array, and the arrays; None if there is none."""
    found = [(row, array) for row, array in enumerate(arrays) if array is not None]
    if not found:
        return None
    width = max([width, *(len(array) for _, array in found)])
    parts = [array for _, array in found]
    if centred:  # filters with an odd number of taps keep their middle
        parts = [np.pad(part, (width - len(part)) // 2) for part in parts]
    return torch.tensor([row for row, _ in found]), torch.from_numpy(_rows(parts, width))


def _masks(masks: Sequence[tuple[tuple[int, int], ...]]) -> Tensor:
    most = max(map(len, masks), default=0)
    table = torch.zeros(len(masks), most, 2, dtype=torch.int64)
    for row, stretches in enumerate(masks):
        if stretches:
            table[row, : len(stretches)] = torch.tensor(stretches)
    return table


def _warps(factors: Sequence[float], num_bins: int) -> tuple[Tensor, Tensor] | None:
    if all(factor == 1.0 for factor in factors):
        return None
    below, shares = zip(*(warped_bins(num_bins, factor) for factor in factors), strict=True)
    return torch.from_numpy(np.stack(below)), torch.from_numpy(np.stack(shares))


@torch.no_grad()
def features_of(utterances: RawUtterances) -> Tensor:
    """(B, T, F) float32 features of the changed utterances, on their device, 0 where padded."""
    config = utterances.config
    if utterances.stored is not None:
        assert utterances.samples is not None, "the samples are on the device"
        waveforms = waveforms_of(utterances.samples, utterances.stored, utterances.longest)
        utterances = replace(utterances, waveforms=waveforms)
    with torch.autocast(utterances.waveforms.device.type, enabled=False):
        waveforms = changed_waveforms(utterances)
        features = log_spectrograms(waveforms, utterances.lengths, config)
        changes = utterances.changes
        if changes.warps is not None:
            below, share = (w[:, None].expand(features.shape) for w in changes.warps)
            left = features.gather(2, below)
            features = left + (features.gather(2, below + 1) - left) * share
        num_frames = 1 + torch.div(
            utterances.lengths - config.window, config.stride, rounding_mode="floor"
        )
        kept = torch.arange(features.shape[1], device=features.device) < num_frames[:, None]
        kept &= _outside(changes.time_masks, features.shape[1])
        both = kept[:, :, None] & _outside(changes.frequency_masks, features.shape[2])[:, None]
        return features.masked_fill_(~both, 0.0)


def _outside(masks: Tensor, length: int) -> Tensor:
    """(B, length): true outside all stretches (B, masks, 2)."""
    place = torch.arange(length, device=masks.device)
    inside = (place >= masks[:, :, :1]) & (place < masks[:, :, 1:])
    return ~inside.any(1)


def changed_waveforms(utterances: RawUtterances) -> Tensor:
    """(B, N') float32, 0 where padded: the work of `change_waveform` for the whole batch."""
    changes, lengths = utterances.changes, utterances.lengths
    valid = torch.arange(utterances.num_samples, device=lengths.device) < lengths[:, None]
    waveforms = _at_speed(utterances) * valid
    if changes.tails is not None:
        rows, tails = changes.tails
        response = F.pad(tails, (1, 0))
        response[:, 0] = 1.0
        reverberant = _convolved(waveforms[rows], response, 0) * valid[rows]
        waveforms = waveforms.index_copy(0, rows, reverberant)
    if changes.noise is not None:
        rows, noise, ratios_db = changes.noise
        own, count = waveforms[rows], lengths[rows].clamp(min=1)
        power, noise_power = own.square().sum(1) / count, noise.square().sum(1) / count
        gain = torch.sqrt(power / noise_power / 10 ** (ratios_db / 10))
        gain = torch.where(torch.minimum(power, noise_power) < SILENCE, 0.0, gain)
        waveforms = waveforms.index_copy(0, rows, own + gain[:, None] * noise)
    if changes.filters is not None:
        rows, filters = changes.filters
        through = _convolved(waveforms[rows], filters, filters.shape[1] // 2) * valid[rows]
        waveforms = waveforms.index_copy(0, rows, through)
    waveforms = waveforms * changes.gains[:, None]
    peak = waveforms.abs().amax(1).clamp(min=1.0)
    return waveforms / torch.where(changes.changed, peak, 1.0)[:, None]


def _at_speed(utterances: RawUtterances) -> Tensor:
    waveforms, width = utterances.waveforms, utterances.num_samples
    played = F.pad(waveforms, (0, max(0, width - waveforms.shape[1])))[:, :width]
    for percent, rows in utterances.changes.speeds:
        filters = _speed_filters(percent, waveforms.device)
        num_blocks = -(-width // 100)
        needed = (num_blocks - 1) * percent + len(filters)
        right = max(0, needed - (REACH - 1) - waveforms.shape[1])
        padded = F.pad(waveforms[rows], (REACH - 1, right))[:, :needed]
        blocks = padded.unfold(1, len(filters), percent)  # (n, blocks, taps)
        played = played.index_copy(0, rows, (blocks @ filters).flatten(1)[:, :width])
    return played


@lru_cache(maxsize=256)
def _speed_filters(percent: int, device: torch.device) -> Tensor:
    return torch.from_numpy(speed_filters(percent)).to(device)


def _convolved(waveforms: Tensor, responses: Tensor, first: int) -> Tensor:
    """(n, N): the convolution of (n, N) and (n, R), from its `first` sample on."""
    num_samples = waveforms.shape[1]
    whole = num_samples + responses.shape[1]
    step = 1 << max(0, whole.bit_length() - 4)
    length = -(-whole // step) * step
    spectrum = torch.fft.rfft(waveforms.double(), length)
    spectrum *= torch.fft.rfft(responses.double(), length)
    convolved: Tensor = torch.fft.irfft(spectrum, length)[:, first : first + num_samples]
    return convolved.float()


def log_spectrograms(waveforms: Tensor, lengths: Tensor, config: FeatureConfig) -> Tensor:
    """(B, T, F) float32: `log_spectrogram` of each waveform. Frames in the padding mean nothing.

    waveforms: (B, N) float32, 0 where padded; lengths: (B,).
    """
    waveforms = F.pad(waveforms, (0, max(0, config.window - waveforms.shape[1])))
    window = _window(config.window, waveforms.device)
    # In float64, so that the two front ends differ only by the rounding of the numpy one.
    windowed = waveforms.unfold(1, config.window, config.stride) * window.double()
    power = torch.view_as_real(torch.fft.rfft(windowed)).square().sum(-1).float()  # (B, T, F)
    if config.causal:
        level_power = running_levels(power, config)[:, :, None]
    else:
        lowest = power_ratio(config.lowest_level_db)
        total = waveforms.square().sum(1, dtype=torch.float64) / lengths.clamp(min=1)
        level_power = total.clamp(min=lowest)[:, None, None]
    shift = math.exp(-config.mean_log_power)
    power = power * (shift / level_power.float()) + shift * power_ratio(config.floor_db)
    return power.log() * (1 / config.deviation_log_power)


@lru_cache(maxsize=8)
def _window(window: int, device: torch.device) -> Tensor:
    return torch.from_numpy(unit_power_window(window)).to(device)


def running_levels(power: Tensor, config: FeatureConfig) -> Tensor:
    """(B, T) float64: the power of the speech level up to each frame, that frame included.

    The recursion of the numpy front end, for all utterances side by side. power: (B, T, F).
    """
    frames_per_s = config.sample_rate_hz / config.stride
    gate, most = power_ratio(config.gate_db), config.memory_s * frames_per_s
    lowest = math.sqrt(power_ratio(config.lowest_level_db))
    powers = power.mean(2).double().T.contiguous()  # (T, B)
    amplitudes = powers.sqrt()
    level = torch.full_like(powers[0], math.sqrt(power_ratio(config.prior_level_db)))
    weight = torch.full_like(level, config.prior_s * frames_per_s)
    levels = torch.empty_like(powers)
    for frame_power, amplitude, result in zip(powers, amplitudes, levels, strict=True):
        share = frame_power / torch.addcmul(frame_power, level, level, value=gate)
        weight = (weight + share).clamp_(max=most)
        level = torch.addcdiv(level, share * (amplitude - level), weight).clamp_(min=lowest)
        result.copy_(level)
    return levels.square().T
