"""Training audio made harder: noise, speed, rooms, poor microphones, and masks on features."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ds2.audio import read_audio
from ds2.audio.resampling import SAMPLE_RATE_HZ, Resampler
from ds2.errors import InputError
from ds2.model.features import Floats

Range = tuple[float, float]

SILENCE = 1e-10  # mean power, -100 dB re full scale: too little to set a signal-to-noise ratio by
EDGE_HZ = 150.0  # a cut-off falls from all to nothing over this width
LONGEST_NOISE_S = 60.0  # of one recording: a bank is for variety, not for length


@dataclass(frozen=True)
class AugmentationConfig:
    """How often each change is made, and between which limits it is drawn, evenly.

    Probabilities are per utterance and independent; 0 switches a change off. Noise is that of
    Deep Speech 2: in 40% of utterances (arXiv version), 0 to 30 dB below the speech (ICML
    version). The masks are SpecAugment's (Park et al., 2019), fitted to 161 linear bins.
    """

    speed_probability: float = 0.5
    speed_factor: Range = (0.9, 1.1)  # above 1 is faster and higher
    reverberation_probability: float = 0.2
    reverberation_s: Range = (0.1, 0.5)  # until the tail has fallen by 60 dB
    direct_to_reverberant_db: Range = (3.0, 15.0)
    noise_probability: float = 0.4
    noise_snr_db: Range = (0.0, 30.0)
    lowpass_probability: float = 0.1
    lowpass_hz: Range = (2500.0, 7500.0)
    telephone_probability: float = 0.05
    telephone_hz: Range = (300.0, 3400.0)  # the band kept: not drawn
    gain_probability: float = 0.5
    gain_db: Range = (-12.0, 12.0)

    mask_probability: float = 1.0  # of an utterance's features; the limits below are largest sizes
    num_time_masks: int = 2
    time_mask_frames: int = 40
    time_mask_share: float = 0.1  # of the utterance, for each mask
    num_frequency_masks: int = 2
    frequency_mask_bins: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0 <= value <= 1:
                raise ValueError(f"{field.name}: must be from 0 to 1, not {value}")
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{field.name}: must be 0 or more, not {value}")
            if isinstance(value, tuple) and not -math.inf < value[0] <= value[1] < math.inf:
                raise ValueError(f"{field.name}: must be a low and a high limit, not {value}")
        self._check_within("speed_factor", 0.5, 2.0)
        self._check_within("reverberation_s", 0.01, 5.0)
        self._check_within("lowpass_hz", EDGE_HZ, SAMPLE_RATE_HZ / 2)
        self._check_within("telephone_hz", 0.0, SAMPLE_RATE_HZ / 2)
        for name in ("direct_to_reverberant_db", "noise_snr_db", "gain_db"):
            self._check_within(name, -100.0, 100.0)
        if not 0 <= self.time_mask_share <= 1:
            raise ValueError(f"time_mask_share: must be from 0 to 1, not {self.time_mask_share}")

    def _check_within(self, name: str, lowest: float, highest: float) -> None:
        low, high = getattr(self, name)
        if low < lowest or high > highest:
            limits = f"from {lowest:g} to {highest:g}"
            raise ValueError(f"{name}: must lie {limits}, not {low:g} to {high:g}")


def augmentation_rng(seed: int, epoch: int, utterance_index: int) -> np.random.Generator:
    """The randomness of one utterance in one epoch: whichever worker asks, it is the same."""
    return np.random.default_rng([seed, epoch, utterance_index])


class NoiseBank:
    """Recordings of noise, each read when first drawn and kept while memory allows.

    One that cannot be read is passed over with a warning: it need not end a long run.
    """

    def __init__(self, paths: Sequence[Path], cache_mb: float = 512.0) -> None:
        if not paths:
            raise ValueError("a noise bank needs at least one recording")
        self._paths = list(paths)
        self._cache: dict[int, Floats] = {}
        self._free_bytes = cache_mb * 1e6
        self._unreadable: set[int] = set()

    def __len__(self) -> int:
        return len(self._paths)

    def draw(self, num_samples: int, rng: np.random.Generator) -> Floats:
        """(N,) samples of one recording from a random place, begun again where it ends.

        What is drawn depends on `rng` and the recordings alone, not on what was drawn before.
        Raises InputError if none of the recordings can be read.
        """
        recording = None
        while recording is None:
            recording = self._recording(int(rng.integers(len(self._paths))))
        if len(recording) >= num_samples:
            start = int(rng.integers(len(recording) - num_samples + 1))
            return recording[start : start + num_samples]
        start = int(rng.integers(len(recording)))
        return np.resize(np.roll(recording, -start), num_samples)

    def _recording(self, index: int) -> Floats | None:
        if index in self._unreadable:
            return None
        if index in self._cache:
            return self._cache[index]
        try:
            recording = read_audio(self._paths[index], duration_s=LONGEST_NOISE_S)
        except InputError as error:
            self._unreadable.add(index)
            if len(self._unreadable) == len(self._paths):
                raise
            warnings.warn(f"noise passed over: {error}", stacklevel=3)
            return None
        if recording.nbytes <= self._free_bytes:
            self._free_bytes -= recording.nbytes
            self._cache[index] = recording
        return recording


class Augmenter:
    """Draws the changes to one utterance: call it with the waveform and that utterance's rng.

    The order is that of the world: the speaker, the room, the noise in it, the microphone and
    line, the volume. Without a noise bank no noise is mixed in, whatever its probability.
    """

    def __init__(self, config: AugmentationConfig, noise: NoiseBank | None = None) -> None:
        self._config = config
        self._noise = noise

    def __call__(self, waveform: Floats, rng: np.random.Generator) -> Floats:
        """The changed waveform; the input itself, never altered, if nothing was drawn.

        waveform: (N,) float32 at 16 kHz
        returns: (N',) float32; only a change of speed changes the length, to N / factor. What
            would exceed full scale is turned down, as clipping would be a change of its own.
        """
        config = self._config
        if len(waveform) == 0:
            return waveform
        changed = waveform
        if rng.random() < config.speed_probability:
            changed = change_speed(changed, rng.uniform(*config.speed_factor))
        if rng.random() < config.reverberation_probability:
            decay_s = rng.uniform(*config.reverberation_s)
            ratio_db = rng.uniform(*config.direct_to_reverberant_db)
            changed = reverberate(changed, decay_s, ratio_db, rng)
        if self._noise is not None and rng.random() < config.noise_probability:
            snr_db = rng.uniform(*config.noise_snr_db)
            changed = mix_noise(changed, self._noise.draw(len(changed), rng), snr_db)
        if rng.random() < config.lowpass_probability:
            changed = limit_band(changed, 0.0, rng.uniform(*config.lowpass_hz))
        if rng.random() < config.telephone_probability:
            changed = limit_band(changed, *config.telephone_hz)
        if rng.random() < config.gain_probability:
            changed = changed * np.float32(10 ** (rng.uniform(*config.gain_db) / 20))
        return waveform if changed is waveform else _turn_down(changed)


def change_speed(waveform: Floats, factor: float) -> Floats:
    """The waveform played `factor` times as fast, pitch and all: about N / factor samples."""
    resampler = Resampler(round(SAMPLE_RATE_HZ * factor))
    return np.concatenate([resampler.feed(waveform), resampler.finish()])


def mix_noise(waveform: Floats, noise: Floats, snr_db: float) -> Floats:
    """The waveform with (N,) noise added, so much weaker in mean power than the waveform.

    Unchanged if either is silent: then there is no such ratio.
    """
    power, noise_power = _mean_power(waveform), _mean_power(noise)
    if min(power, noise_power) < SILENCE:
        return waveform
    gain = math.sqrt(power / noise_power / 10 ** (snr_db / 10))
    return waveform + np.float32(gain) * noise


def reverberate(
    waveform: Floats, decay_s: float, direct_to_reverberant_db: float, rng: np.random.Generator
) -> Floats:
    """The waveform in a room: itself, in place, and a tail of noise that falls 60 dB in `decay_s`.

    The direct sound keeps its time and level, so that alignments hold; the end is cut at N.
    Noise under an exponential is Polack's model of a room (1988).
    """
    num_tail = max(1, round(decay_s * SAMPLE_RATE_HZ))
    fall = np.exp(np.arange(num_tail, dtype=np.float32) * np.float32(-math.log(1000) / num_tail))
    tail = rng.standard_normal(num_tail, np.float32) * fall
    wanted_power = 10 ** (-direct_to_reverberant_db / 10)
    tail *= np.float32(math.sqrt(wanted_power / (_mean_power(tail) * num_tail)))
    response = np.concatenate([np.ones(1, np.float32), tail])
    length = _fast_length(len(waveform) + num_tail)
    spectrum = np.fft.rfft(waveform, length) * np.fft.rfft(response, length)
    return np.asarray(np.fft.irfft(spectrum, length)[: len(waveform)], np.float32)


def limit_band(waveform: Floats, low_hz: float, high_hz: float) -> Floats:
    """The waveform without what lies below `low_hz` or above `high_hz`, not delayed."""
    # Zeros behind keep the filter's ringing from wrapping round to the other end.
    length = _fast_length(len(waveform) + round(2 * SAMPLE_RATE_HZ / EDGE_HZ))
    hz = np.arange(length // 2 + 1, dtype=np.float32) * np.float32(SAMPLE_RATE_HZ / length)
    kept = np.clip((np.float32(high_hz) - hz) / np.float32(EDGE_HZ) + 1, 0, 1)
    if low_hz > 0:
        kept *= np.clip((hz - np.float32(low_hz)) / np.float32(EDGE_HZ) + 1, 0, 1)
    limited = np.fft.irfft(np.fft.rfft(waveform, length) * kept, length)
    return np.asarray(limited[: len(waveform)], np.float32)


def mask_features(features: Floats, rng: np.random.Generator, config: AugmentationConfig) -> Floats:
    """Features with some stretches of time and of frequency set to 0, their mean over speech.

    features: (T, F) float32; not altered
    returns: (T, F) float32; the input itself if nothing was drawn
    """
    if features.size == 0 or rng.random() >= config.mask_probability:
        return features
    num_frames, num_bins = features.shape
    longest = min(config.time_mask_frames, int(config.time_mask_share * num_frames))
    masked = features.copy()
    for _ in range(config.num_time_masks):
        masked[_stretch(num_frames, longest, rng)] = 0
    for _ in range(config.num_frequency_masks):
        masked[:, _stretch(num_bins, config.frequency_mask_bins, rng)] = 0
    return masked


def _stretch(length: int, widest: int, rng: np.random.Generator) -> slice:
    """A random stretch within `length`, of any width up to `widest`, 0 included."""
    width = int(rng.integers(min(widest, length) + 1))
    start = int(rng.integers(length - width + 1))
    return slice(start, start + width)


def _turn_down(waveform: Floats) -> Floats:
    peak = max(float(waveform.max()), -float(waveform.min()), 1.0)
    return waveform if peak == 1.0 else waveform / np.float32(peak)


def _mean_power(waveform: Floats) -> float:
    return float(np.dot(waveform, waveform)) / max(1, len(waveform))


def _fast_length(num_samples: int) -> int:
    """The least 2^n times 9 to 16 that is no less: a length with small factors, quick for FFTs."""
    step = 1 << max(0, num_samples.bit_length() - 4)
    return -(-num_samples // step) * step
