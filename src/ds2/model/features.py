"""The front end of the models that ds2 trains: a log-spectrogram of power-normalised audio."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ds2.model.framing import Framing

Floats = npt.NDArray[np.float32]

# The number of frames that ds2 computes at once. The temporary arrays of such a block stay in the
# processor's cache, and they stay small for an hour of audio.
BLOCK_FRAMES = 128


@dataclass(frozen=True)
class FeatureConfig(Framing):
    """How audio becomes features (Deep Speech 2, section 3.1).

    A feature is the logarithm of the power in one frequency bin of one frame, relative to the
    level of the speech. ds2 then subtracts `mean_log_power` and divides by `deviation_log_power`.

    There are two ways to find the level. `"clip"` is the paper's way: the level is the mean power
    of the whole clip, and the features come when the clip has ended. `"causal"` is for models that
    stream: each frame has a running level, which ds2 computes from this frame and the frames
    before it.

    The default values give features of ordinary speech a mean near 0 and a variance near 1.
    A training run therefore needs no pass over the corpus to measure them. We measured the values
    on English and Mandarin read speech (Common Voice, speechocean762). The clips there have levels
    from -41 to -15 dB. The quiet high bins of voiced frames reach down to about 60 dB below the
    level. The natural logarithm of the relative power has mean -8.9 and standard deviation 4.4.
    """

    # sample rate of the audio, in Hz; ds2 resamples recordings that have another sample rate
    sample_rate_hz: int = 16_000
    window_ms: float = 20.0  # length of the audio in one frame
    stride_ms: float = 10.0  # time from the start of one frame to the start of the next
    # how ds2 finds the level of the speech: "clip" takes the mean power of the whole clip,
    # "causal" takes a running level of the audio so far
    normalisation: Literal["clip", "causal"] = "causal"

    # power that ds2 adds to each bin before it takes the logarithm, in dB relative to the level
    floor_db: float = -60.0
    # mean of the natural logarithm of the power relative to the level, in nepers of power; ds2
    # subtracts it
    mean_log_power: float = -9.0
    # standard deviation of the natural logarithm of the power, in nepers of power; ds2 divides by
    # it after it has subtracted mean_log_power
    deviation_log_power: float = 4.5
    # the level is never lower than this, in dB relative to full scale; so ds2 does not amplify
    # digital silence further
    lowest_level_db: float = -70.0

    # for "causal": the level before the first frame, in dB relative to full scale; the default is
    # the RMS of a typical clip
    prior_level_db: float = -26.0
    # for "causal": weight of prior_level_db in the running level, in seconds of speech; with a
    # small weight the level adapts at once
    prior_s: float = 0.08
    memory_s: float = 1.0  # for "causal": seconds of speech that the running level remembers
    # for "causal": a frame with this power, in dB relative to the level, has half the weight in
    # the running level; pauses have almost none
    gate_db: float = -15.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name}: must be finite")
        if self.normalisation not in ("clip", "causal"):
            raise ValueError("normalisation: must be 'clip' or 'causal'")
        self.check_framing()
        if not self.deviation_log_power > 0:
            raise ValueError("deviation_log_power: must be positive")
        if not 0 < self.prior_s <= self.memory_s:
            raise ValueError("prior_s: must be positive and at most memory_s")

    @property
    def num_bins(self) -> int:
        """F: the number of linear frequency bins from 0 Hz to half the sample rate."""
        return self.window // 2 + 1

    @property
    def causal(self) -> bool:
        """Whether frames come before the clip has ended."""
        return self.normalisation == "causal"

    @property
    def summary(self) -> str:
        """A short description for people."""
        normalised = "causally" if self.causal else "by clip"
        return (
            f"{self.num_bins} bins, {self.window_ms:g} ms every {self.stride_ms:g} ms, "
            f"power normalised {normalised}"
        )

    def num_frames(self, num_samples: int) -> int:
        """T: the number of whole windows in `num_samples` samples."""
        return max(0, 1 + (num_samples - self.window) // self.stride)


def log_spectrogram(waveform: npt.NDArray[Any], config: FeatureConfig) -> Floats:
    """The features of a whole waveform.

    waveform: (N,) float32 in [-1, 1] at `config.sample_rate_hz`
    returns: (T, F) float32, T = 0 if N < window else 1 + (N - window) // stride
    Raises ValueError unless the waveform is one-dimensional and finite.
    """
    stream = FeatureStream(config)
    features = stream.feed(waveform)
    return features if config.causal else stream.finish()


class FeatureStream:
    """Computes the frames of `log_spectrogram` while the audio arrives.

    All frames of a stream together are bit for bit those of `log_spectrogram` for the whole
    waveform. The cuts between the pieces change nothing. One stream serves one utterance.
    A causal stream holds less than a window of samples. A stream that normalises by clip holds
    the whole clip.
    """

    def __init__(self, config: FeatureConfig) -> None:
        self._config = config
        self._level = _RunningLevel(config)
        self._pending = np.empty(0, np.float32)  # "causal": the samples that later frames need
        self._pieces: list[Floats] = []  # "clip": all samples so far

    def feed(self, waveform: npt.NDArray[Any]) -> Floats:
        """Take (N,) more samples; return the (T, F) frames that they complete, often none."""
        return feed_together([self], [waveform])[0]

    def finish(self) -> Floats:
        """The (T, F) frames that only the end completes: all frames for "clip", else none."""
        clip = np.concatenate([np.empty(0, np.float32), *self._pieces])  # "causal": empty
        self._pieces = []
        return _frames_of([(self, clip)], self._clip_power(clip))[0]

    def _take(self, samples: Floats) -> tuple[Floats, int]:
        """The samples for whole frames, and the number of these frames; the rest waits."""
        samples = np.concatenate([self._pending, samples])
        count = self._config.num_frames(len(samples))
        self._pending = samples[count * self._config.stride :]
        return samples, count

    def _clip_power(self, clip: Floats) -> float:
        """The mean power of the clip. Sums of pieces avoid a float64 copy of an hour of audio."""
        step = 2**20
        sums = [
            np.square(clip[start : start + step], dtype=np.float64).sum()
            for start in range(0, len(clip), step)
        ]
        lowest = power_ratio(self._config.lowest_level_db)
        return max(math.fsum(sums) / max(1, len(clip)), lowest)


def feed_together(
    streams: Sequence[FeatureStream], waveforms: Sequence[npt.NDArray[Any]]
) -> list[Floats]:
    """Feed each stream its (N,) samples; returns the (T, F) frames of each stream.

    All streams have the same configuration. The frames are bit for bit those of
    `FeatureStream.feed`. A few frames of many streams cost little more than a few frames of one
    stream. Raises ValueError as `feed` does.
    """
    if not streams:
        return []
    fed = list(zip(streams, map(finite_samples, waveforms), strict=True))
    if not streams[0]._config.causal:
        for stream, samples in fed:
            stream._pieces.append(samples.copy())  # the caller may reuse its buffer
        return [np.empty((0, stream._config.num_bins), np.float32) for stream in streams]
    return _frames_of(fed, None)


def _frames_of(
    fed: Sequence[tuple[FeatureStream, Floats]], clip_power: float | None
) -> list[Floats]:
    """The (T, F) frames that more samples complete, for each stream.

    The function works block by block, so that the memory stays bounded.
    clip_power: the mean power of the clip. None gives each frame the running level of its stream.
    """
    config = fed[0][0]._config
    block_samples = BLOCK_FRAMES * config.stride
    made: list[Floats] = []
    block = _Block(config)
    for stream, samples in fed:
        num_frames = config.num_frames(len(stream._pending) + len(samples))
        features = np.empty((num_frames, config.num_bins), np.float32)
        made.append(features)
        done = 0
        for start in range(0, len(samples), block_samples):
            taken, count = stream._take(samples[start : start + block_samples])
            if not count:
                continue
            if not block.has_room(count):
                block.compute(clip_power)
            block.add(stream._level, taken, features[done : done + count])
            done += count
    block.compute(clip_power)
    return made


class _Block:
    """Frames of one stream or of several streams that ds2 computes at once."""

    def __init__(self, config: FeatureConfig) -> None:
        self._config = config
        self._window = _kept_window(config.window)
        self._parts: list[tuple[_RunningLevel, Floats, Floats]] = []  # samples, features
        self._num_frames = 0

    def has_room(self, num_frames: int) -> bool:
        """Whether the block stays in the processor's cache with `num_frames` more frames."""
        return not self._parts or self._num_frames + num_frames <= BLOCK_FRAMES

    def add(self, level: "_RunningLevel", samples: Floats, features: Floats) -> None:
        """Take samples, and the (T, F) array for their features. `compute` fills the array."""
        self._parts.append((level, samples, features))
        self._num_frames += len(features)

    def compute(self, clip_power: float | None) -> None:
        """Fill all arrays of features, and begin a new block."""
        if not self._parts:
            return
        power = self._power()
        if clip_power is None:
            levels: list[float] = []
            means = power.mean(axis=1).tolist()
            for level, _, features in self._parts:
                levels += level.follow(means[len(levels) : len(levels) + len(features)])
            self._normalise(power, np.array(levels)[:, np.newaxis])
        else:
            self._normalise(power, clip_power)
        first = 0
        for _, _, features in self._parts:
            features[:] = power[first : first + len(features)]
            first += len(features)
        self._parts, self._num_frames = [], 0

    def _power(self) -> Floats:
        """The (T, F) power of each bin of each frame. White noise has its variance in each bin."""
        config = self._config
        windowed = np.empty((self._num_frames, config.window), np.float32)
        first = 0
        for _, samples, features in self._parts:
            step = samples.itemsize
            frames: Floats = np.ndarray(
                (len(features), config.window),
                np.float32,
                samples,
                strides=(config.stride * step, step),
            )
            np.multiply(frames, self._window, out=windowed[first : first + len(features)])
            first += len(features)
        spectrum = np.fft.rfft(windowed)  # (T, F) complex64
        parts = spectrum.view(np.float32)  # (T, 2 F): real, imaginary, real, ...
        np.square(parts, out=parts)
        return np.asarray(parts[:, 0::2] + parts[:, 1::2])

    def _normalise(self, power: Floats, level_power: npt.NDArray[Any] | float) -> None:
        """Turn (T, F) power into features, in place.

        level_power: the level of each frame, (T, 1), or one level for all frames.
        """
        config = self._config
        # A factor inside the logarithm is a shift outside it. It saves a pass over the block.
        shift = math.exp(-config.mean_log_power)
        np.multiply(power, np.float32(shift) / np.asarray(level_power, np.float32), out=power)
        power += np.float32(shift * power_ratio(config.floor_db))
        np.log(power, out=power)
        power *= np.float32(1 / config.deviation_log_power)


class _RunningLevel:
    """The level of the speech so far: a gated running mean of the amplitudes of the frames.

    A frame with amplitude a enters the mean with the weight a^2 / (a^2 + g^2 level^2). A frame well
    below the level is probably a pause, and it hardly changes the mean. So silence does not raise
    noise to the level of speech. The weights add up to `memory_s` at most. From then on the mean
    forgets old frames. A mean of powers falls slowly, and a mean of logarithms rises slowly.
    A mean of amplitudes lies between them.

    The recursion goes from frame to frame in float64, so the cuts in the audio change no bit.
    """

    def __init__(self, config: FeatureConfig) -> None:
        frames_per_s = config.sample_rate_hz / config.stride
        self._level = math.sqrt(power_ratio(config.prior_level_db))  # amplitude
        self._weight = config.prior_s * frames_per_s  # frames of speech behind the level
        self._most_weight = config.memory_s * frames_per_s
        self._gate = power_ratio(config.gate_db)
        self._lowest = math.sqrt(power_ratio(config.lowest_level_db))

    def follow(self, powers: Sequence[float]) -> list[float]:
        """The power of the level at each of the next frames; a level includes its own frame.

        powers: the mean power of each frame.
        """
        level, weight = self._level, self._weight
        gate, most_weight, lowest = self._gate, self._most_weight, self._lowest
        levels = []
        for frame_power in powers:
            share = frame_power / (frame_power + gate * level * level)
            weight = min(weight + share, most_weight)
            level += share / weight * (math.sqrt(frame_power) - level)
            level = max(level, lowest)
            levels.append(level * level)
        self._level, self._weight = level, weight
        return levels


def unit_power_window(window: int) -> Floats:
    """A periodic Hann window. Its scale keeps the variance of white noise in every bin."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.asarray(hann / np.sqrt(np.sum(hann**2)), np.float32)


@cache
def _kept_window(window: int) -> Floats:
    """The array of `unit_power_window`, made once for each length."""
    kept = unit_power_window(window)
    kept.flags.writeable = False
    return kept


def finite_samples(waveform: npt.NDArray[Any]) -> Floats:
    """The (N,) float32 samples of a waveform.

    Raises ValueError unless the waveform is one-dimensional, floating point and finite.
    """
    if waveform.ndim != 1 or waveform.dtype.kind != "f":
        found = f"{waveform.dtype} of shape {waveform.shape}"
        raise ValueError(f"a waveform must be (N,) floating point in [-1, 1], not {found}")
    samples = np.asarray(waveform, np.float32)
    # One pass without a temporary array: the sum of squares keeps NaN and infinity.
    if not math.isfinite(np.dot(samples, samples)):
        raise ValueError("the waveform has samples that are NaN, infinite or far too large")
    return samples


def power_ratio(level_db: float) -> float:
    return float(10 ** (level_db / 10))
