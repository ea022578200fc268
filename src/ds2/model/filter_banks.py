"""Kaldi's log mel filter banks, the features of PaddleSpeech, MASR and PPASR."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ds2.model.features import BLOCK_FRAMES, Floats, finite_samples
from ds2.model.framing import Framing

FULL_SCALE = 32_768
"""The factor from samples in [-1, 1] to Kaldi's samples, which are 16-bit integers."""


@dataclass(frozen=True)
class FilterBankConfig(Framing):
    """How audio becomes log mel energies, as Kaldi's `compute-fbank-feats` makes them.

    ds2 subtracts the mean of a frame, pre-emphasises the frame, multiplies it with Kaldi's povey
    window and pads it to a power of two. Then it sums the power in overlapping triangles on the mel
    scale. A feature is the natural logarithm of such a sum, minus the mean of the corpus, divided
    by the deviation of the corpus. There is no dither.

    The resolution at low frequencies limits the number of bins. If there are too many (161 at
    31 Hz), some triangles contain no frequency, and these bins always have the floor as their
    energy. Kaldi refuses such settings, but PaddleSpeech trains with them.
    """

    kind: Literal["filter_banks"] = "filter_banks"
    sample_rate_hz: int = 16_000
    window_ms: float = 25.0
    stride_ms: float = 10.0
    num_bins: int = 80  # F, the number of triangles
    lowest_hz: float = 20.0
    highest_hz: float = 8_000.0
    preemphasis: float = 0.97
    floor: float = 1.1920929e-07  # smallest energy of a bin, before the logarithm
    means: tuple[float, ...] = ()  # mean of each bin, in nepers; if empty: 0
    deviations: tuple[float, ...] = ()  # deviation of each bin, in nepers; if empty: 1
    # ds2 scales each clip to this RMS level, in dB relative to full scale; None: no scaling
    clip_level_db: float | None = None

    def __post_init__(self) -> None:
        if self.kind != "filter_banks":
            raise ValueError('kind: must be "filter_banks"')
        self.check_framing()
        if self.num_bins < 1:
            raise ValueError("num_bins: must be positive")
        if not 0 <= self.lowest_hz < self.highest_hz <= self.sample_rate_hz / 2:
            raise ValueError("lowest_hz: must be below highest_hz, which is at most half the rate")
        if not 0 < self.floor < math.inf:
            raise ValueError("floor: must be positive")
        for name in ("means", "deviations"):
            values = getattr(self, name)
            if values and len(values) != self.num_bins:
                raise ValueError(f"{name}: must have {self.num_bins} values, not {len(values)}")
            if not all(map(math.isfinite, values)):
                raise ValueError(f"{name}: must be finite")
        if not all(value > 0 for value in self.deviations):
            raise ValueError("deviations: must be positive")

    @property
    def causal(self) -> bool:
        """Whether frames come before the clip has ended."""
        return self.clip_level_db is None

    @property
    def summary(self) -> str:
        """A short description for people."""
        level = "" if self.causal else f", clips scaled to {self.clip_level_db:g} dB"
        return (
            f"{self.num_bins} mel filter banks, {self.window_ms:g} ms every {self.stride_ms:g} ms, "
            f"normalised by the corpus{level}"
        )

    def num_frames(self, num_samples: int) -> int:
        """T: the number of whole windows in `num_samples` samples."""
        return max(0, 1 + (num_samples - self.window) // self.stride)


class FilterBankStream:
    """Computes filter banks while the audio arrives. One stream serves one utterance.

    The cuts between the pieces of a waveform change no bit of the frames. A stream that scales
    clips to a level holds the whole clip, and returns all frames at the end.
    """

    def __init__(self, config: FilterBankConfig) -> None:
        self._config = config
        samples = np.arange(config.window)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * samples / (config.window - 1))
        self._window = hann**0.85  # povey
        self._padded = 1 << (config.window - 1).bit_length()
        self._bins, self._weights, self._starts = _triangles(config, self._padded)
        self._means = np.asarray(config.means or 0, np.float64)
        self._factors = 1 / np.asarray(config.deviations or 1, np.float64)
        self._pending = np.empty(0, np.float32)  # causal: the samples that later frames need
        self._pieces: list[Floats] = []  # not causal: all samples so far

    def feed(self, waveform: npt.NDArray[Any]) -> Floats:
        """Take (N,) more samples; return the (T, F) frames that they complete, often none."""
        waveform = finite_samples(waveform)
        if not self._config.causal:
            self._pieces.append(waveform.copy())  # the caller may reuse its buffer
            return np.empty((0, self._config.num_bins), np.float32)
        return self._frames(waveform * np.float32(FULL_SCALE))

    def finish(self) -> Floats:
        """The (T, F) frames that only the end completes: none if causal, else all frames."""
        clip = np.concatenate([np.empty(0, np.float32), *self._pieces])  # causal: empty
        self._pieces = []
        return self._frames(clip if self._config.clip_level_db is None else self._levelled(clip))

    def _frames(self, waveform: Floats) -> Floats:
        """The frames that (N,) more samples complete. Blocks of frames bound the memory."""
        config = self._config
        num_frames = config.num_frames(len(self._pending) + len(waveform))
        features = np.empty((num_frames, config.num_bins), np.float32)
        block_samples = BLOCK_FRAMES * config.stride
        done = 0
        for start in range(0, len(waveform), block_samples):
            samples = np.concatenate([self._pending, waveform[start : start + block_samples]])
            count = config.num_frames(len(samples))
            if count:
                features[done : done + count] = self._log_energies(samples)
            self._pending = samples[count * config.stride :]
            done += count
        return features

    def _log_energies(self, samples: Floats) -> Floats:
        """The normalised (T, F) features of all whole windows in the samples."""
        config = self._config
        frames = np.lib.stride_tricks.sliding_window_view(samples, config.window)
        # float64, because the rounding of float32 would hide a faint bin beside a loud one.
        frames = np.asarray(frames[:: config.stride], np.float64, order="C")  # (T, window)
        frames = frames - frames.mean(axis=1, keepdims=True)
        emphasised = frames * self._window
        emphasised[:, 1:] -= frames[:, :-1] * (config.preemphasis * self._window[1:])
        emphasised[:, 0] -= frames[:, 0] * (config.preemphasis * self._window[0])
        spectrum = np.fft.rfft(emphasised, self._padded)  # complex128
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        # Sums of a few terms each. The bits of a matrix product would depend on the number of
        # frames.
        parts = power[:, self._bins] * self._weights
        energies = np.add.reduceat(parts, self._starts, axis=1)
        np.maximum(energies, config.floor, out=energies)
        np.log(energies, out=energies)
        return np.asarray((energies - self._means) * self._factors, np.float32)

    def _levelled(self, clip: Floats) -> Floats:
        """The clip at the level `clip_level_db`, as 16-bit integers. Digital silence stays silent.

        The arithmetic is float32, as in the other toolkits. A gain that differs in its seventh
        digit would move some samples to the next integer.
        """
        power = np.mean(np.square(clip)) if len(clip) else np.float32(0)
        gain_db = (self._config.clip_level_db or 0.0) - 10 * np.log10(power or np.float32(1))
        samples = clip * np.float32(10 ** (gain_db / 20)) * np.float32(FULL_SCALE)
        np.clip(samples, -FULL_SCALE, FULL_SCALE - 1, out=samples)
        np.trunc(samples, out=samples)
        return samples


def _triangles(
    config: FilterBankConfig, padded: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The frequency bins of all triangles in one array, their weights, and each triangle's start.

    A triangle without a frequency bin gets one bin with weight 0.
    """
    frequencies = np.arange(padded // 2) * (config.sample_rate_hz / padded)
    mel = _mel(frequencies)
    edges = np.linspace(_mel(config.lowest_hz), _mel(config.highest_hz), config.num_bins + 2)
    bins: list[npt.NDArray[np.int64]] = []
    weights, starts = [], []
    num_terms = 0
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        slopes = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre))
        within = np.flatnonzero(slopes > 0)
        if not len(within):
            within, slopes = np.zeros(1, np.int64), np.zeros_like(slopes)
        starts.append(num_terms)
        num_terms += len(within)
        bins.append(within)
        weights.append(slopes[within])
    return np.concatenate(bins), np.concatenate(weights), np.asarray(starts)


def _mel(frequency_hz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(frequency_hz) / 700.0)
