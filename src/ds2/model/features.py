"""The front end of the models that ds2 trains: a log-spectrogram of power-normalised audio."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# Frames worked on at once: the temporaries of a block stay in the processor's cache, and those
# of an hour of audio stay small.
BLOCK_FRAMES = 128


@dataclass(frozen=True)
class FeatureConfig:
    """How audio becomes features (Deep Speech 2, section 3.1).

    The paper scales each clip to unit power, which needs the whole clip (`"clip"`). A model that
    streams divides every frame by a running level of the past instead (`"causal"`).

    The constants make features of ordinary speech zero-mean and unit-variance, so no pass over
    a corpus is needed. They were measured on English and Mandarin read speech (Common Voice,
    speechocean762): clips there have levels from -41 to -15 dB, the quiet high bins of voiced
    frames reach down to about 60 dB below the level, and the natural logarithm of relative power
    has mean -8.9 and standard deviation 4.4.
    """

    sample_rate_hz: int = 16_000  # recordings at other rates are resampled to it
    window_ms: float = 20.0  # audio in one frame
    stride_ms: float = 10.0  # step from one frame to the next
    normalisation: Literal["clip", "causal"] = "causal"  # by the whole clip, or by the past alone

    floor_db: float = -60.0  # added to power before the logarithm, relative to the level
    mean_log_power: float = -9.0  # nepers of power, relative to the level
    deviation_log_power: float = 4.5  # nepers of power; features are divided by it
    lowest_level_db: float = -70.0  # re full scale: digital silence is not amplified further

    prior_level_db: float = -26.0  # RMS of a typical clip, re full scale
    prior_s: float = 0.08  # seconds of speech that the prior is worth: little, it adapts at once
    memory_s: float = 1.0  # seconds of speech that the running level remembers
    gate_db: float = -15.0  # a frame so far below the level counts half; pauses hardly count

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name}: must be finite")
        if self.normalisation not in ("clip", "causal"):
            raise ValueError("normalisation: must be 'clip' or 'causal'")
        if self.sample_rate_hz < 1:
            raise ValueError("sample_rate_hz: must be positive")
        if self.stride < 1:
            raise ValueError("stride_ms: must be at least one sample")
        if self.window < max(2, self.stride):
            raise ValueError("window_ms: must be at least stride_ms and two samples")
        if not self.deviation_log_power > 0:
            raise ValueError("deviation_log_power: must be positive")
        if not 0 < self.prior_s <= self.memory_s:
            raise ValueError("prior_s: must be positive and at most memory_s")

    @property
    def window(self) -> int:
        """Samples that one frame sees."""
        return round(self.sample_rate_hz * self.window_ms / 1000)

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return round(self.sample_rate_hz * self.stride_ms / 1000)

    @property
    def num_bins(self) -> int:
        """F: the linear frequency bins from 0 Hz to half the sample rate."""
        return self.window // 2 + 1

    @property
    def causal(self) -> bool:
        """Whether frames can leave before the clip's end is known."""
        return self.normalisation == "causal"

    @property
    def summary(self) -> str:
        """For people."""
        normalised = "causally" if self.causal else "by clip"
        return (
            f"{self.num_bins} bins, {self.window_ms:g} ms every {self.stride_ms:g} ms, "
            f"power normalised {normalised}"
        )

    def num_frames(self, num_samples: int) -> int:
        """T: the whole windows in that many samples."""
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
    """The same spectrogram, frame by frame, as audio arrives.

    However a waveform is cut into pieces, the frames fed back, joined, are bit for bit those of
    `log_spectrogram` on the whole of it. One stream serves one utterance. A causal stream holds
    less than a window of samples; one that normalises by clip must hold the clip.
    """

    def __init__(self, config: FeatureConfig) -> None:
        self._config = config
        self._level = _RunningLevel(config)
        self._window = unit_power_window(config.window)
        self._pending = np.empty(0, np.float32)  # causal: samples that later frames still need
        self._pieces: list[Floats] = []  # by clip: everything so far

    def feed(self, waveform: npt.NDArray[Any]) -> Floats:
        """Take (N,) more samples; return the (T, F) frames they complete, often none."""
        waveform = finite_samples(waveform)
        if not self._config.causal:
            self._pieces.append(waveform.copy())  # the caller may reuse its buffer
            return np.empty((0, self._config.num_bins), np.float32)
        return self._frames(waveform, None)

    def finish(self) -> Floats:
        """The (T, F) frames that only the end completes: all of them by clip, else none."""
        clip = np.concatenate([np.empty(0, np.float32), *self._pieces])  # causal: nothing
        self._pieces = []
        return self._frames(clip, self._clip_power(clip))

    def _frames(self, waveform: Floats, clip_power: float | None) -> Floats:
        """The frames that (N,) more samples complete, block by block to bound the memory."""
        config = self._config
        num_frames = config.num_frames(len(self._pending) + len(waveform))
        features = np.empty((num_frames, config.num_bins), np.float32)
        block_samples = BLOCK_FRAMES * config.stride
        done = 0
        for start in range(0, len(waveform), block_samples):
            samples = np.concatenate([self._pending, waveform[start : start + block_samples]])
            count = config.num_frames(len(samples))
            if count:
                power = self._power(samples, features[done : done + count])
                level_power = self._level.follow(power) if clip_power is None else clip_power
                self._normalise(power, level_power)
            self._pending = samples[count * config.stride :]
            done += count
        return features

    def _power(self, samples: Floats, power: Floats) -> Floats:
        """The power of each bin of each frame, into `power`; white noise has its variance."""
        frames = np.lib.stride_tricks.sliding_window_view(samples, self._config.window)
        windowed = frames[:: self._config.stride] * self._window  # (T, window)
        spectrum = np.fft.rfft(windowed)  # (T, F) complex64
        parts = spectrum.view(np.float32)  # (T, 2 F): real, imaginary, real, ...
        np.square(parts, out=parts)
        return np.add(parts[:, 0::2], parts[:, 1::2], out=power)

    def _normalise(self, power: Floats, level_power: npt.NDArray[Any] | float) -> None:
        """In place: (T, F) power -> log power, relative to a level for each frame or for all."""
        config = self._config
        # A factor within the logarithm is a shift outside it, and saves a pass over the block.
        shift = math.exp(-config.mean_log_power)
        np.multiply(power, np.float32(shift) / np.asarray(level_power, np.float32), out=power)
        power += np.float32(shift * power_ratio(config.floor_db))
        np.log(power, out=power)
        power *= np.float32(1 / config.deviation_log_power)

    def _clip_power(self, clip: Floats) -> float:
        """Mean power of the clip; summed in pieces so as not to copy an hour to float64."""
        step = 2**20
        sums = [
            np.square(clip[start : start + step], dtype=np.float64).sum()
            for start in range(0, len(clip), step)
        ]
        lowest = power_ratio(self._config.lowest_level_db)
        return max(math.fsum(sums) / max(1, len(clip)), lowest)


class _RunningLevel:
    """The level of speech so far: a gated running mean of the amplitudes of frames.

    A frame with amplitude a enters the mean with weight a^2 / (a^2 + g^2 level^2): one well below
    the level is likely a pause and hardly moves it, so that silence does not pump noise up to the
    level of speech. The mean counts up to `memory_s` of such weight and then forgets. A mean of
    amplitudes lies between that of powers, slow to fall, and of logarithms, slow to rise.

    The recursion runs frame by frame in float64, so no cutting of the audio can change a bit.
    """

    def __init__(self, config: FeatureConfig) -> None:
        frames_per_s = config.sample_rate_hz / config.stride
        self._level = math.sqrt(power_ratio(config.prior_level_db))  # amplitude
        self._weight = config.prior_s * frames_per_s  # frames of speech behind the level
        self._most_weight = config.memory_s * frames_per_s
        self._gate = power_ratio(config.gate_db)
        self._lowest = math.sqrt(power_ratio(config.lowest_level_db))

    def follow(self, power: Floats) -> npt.NDArray[np.float64]:
        """The level's power at each frame, itself included, of the next (T, F): (T, 1)."""
        level, weight = self._level, self._weight
        gate, most_weight, lowest = self._gate, self._most_weight, self._lowest
        levels = []
        for frame_power in power.mean(axis=1).tolist():
            share = frame_power / (frame_power + gate * level * level)
            weight = min(weight + share, most_weight)
            level += share / weight * (math.sqrt(frame_power) - level)
            level = max(level, lowest)
            levels.append(level * level)
        self._level, self._weight = level, weight
        return np.array(levels)[:, np.newaxis]


def unit_power_window(window: int) -> Floats:
    """A periodic Hann window, scaled so that white noise keeps its variance in every bin."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.asarray(hann / np.sqrt(np.sum(hann**2)), np.float32)


def finite_samples(waveform: npt.NDArray[Any]) -> Floats:
    """(N,) float32 of a waveform. Raises ValueError for what is none."""
    if waveform.ndim != 1 or waveform.dtype.kind != "f":
        found = f"{waveform.dtype} of shape {waveform.shape}"
        raise ValueError(f"a waveform is (N,) floating point in [-1, 1], not {found}")
    samples = np.asarray(waveform, np.float32)
    # One pass without a temporary: NaN and infinity survive a sum of squares.
    if not math.isfinite(np.dot(samples, samples)):
        raise ValueError("the waveform holds NaN, infinite or absurdly large samples")
    return samples


def power_ratio(level_db: float) -> float:
    return float(10 ** (level_db / 10))
