"""Augmentation: draws random changes that make training audio harder, and noise for them."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.audio import read_audio
from ds2.audio.resampling import SAMPLE_RATE_HZ
from ds2.errors import InputError
from ds2.model.features import Floats

Range = tuple[float, float]
Percents = np.ndarray[Any, np.dtype[np.int16]]

EDGE_HZ = 150.0  # the lowest cut-off: below it, a filter would leave almost nothing
SPEED_STREAM = 0x5BEED  # keeps the plan's random numbers apart from those of an utterance
LONGEST_NOISE_S = 60.0  # of one recording: a noise bank needs variety, not length


@dataclass(frozen=True)
class AugmentationConfig:
    """How often training makes each change, and the limits of the change.

    The size of a change is drawn evenly between its limits. Probabilities are per utterance and
    independent; 0 switches a change off. The noise follows Deep Speech 2: it is in 40% of
    utterances (arXiv version), 0 to 30 dB below the speech (ICML version). The masks are
    SpecAugment's (Park et al., 2019), fitted to 161 linear bins.
    """

    speed_probability: float = 0.5  # probability of a change of speed
    speed_factor: Range = (0.9, 1.1)  # above 1 is faster and higher-pitched; in steps of 0.01
    vocal_tract_probability: float = 0.0  # probability of another length of the vocal tract
    vocal_tract_factor: Range = (0.88, 1.12)  # factor of the resonances; above 1 is a shorter tract
    reverberation_probability: float = 0.2  # probability of a room around the speaker
    reverberation_s: Range = (0.1, 0.5)  # time in which the room's echo falls by 60 dB
    direct_to_reverberant_db: Range = (3.0, 15.0)  # level of the direct sound above the echo
    noise_probability: float = 0.4  # probability of noise from `data.noise`
    noise_snr_db: Range = (0.0, 30.0)  # level of the speech above the noise
    lowpass_probability: float = 0.1  # probability of a microphone that lacks high frequencies
    lowpass_hz: Range = (2500.0, 7500.0)  # highest frequency that the microphone keeps
    telephone_probability: float = 0.05  # probability of a telephone, which keeps one band
    telephone_hz: Range = (300.0, 3400.0)  # the band that a telephone keeps; it is never drawn
    gain_probability: float = 0.5  # probability of a change of volume
    gain_db: Range = (-12.0, 12.0)  # the change of volume

    mask_probability: float = 1.0  # probability that masks hide parts of the features
    num_time_masks: int = 2  # stretches of time that the masks hide
    time_mask_frames: int = 40  # longest stretch, in frames
    time_mask_share: float = 0.1  # longest stretch, as a share of the utterance
    num_frequency_masks: int = 2  # bands of frequency that the masks hide
    frequency_mask_bins: int = 30  # widest band, in bins

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
        self._check_within("vocal_tract_factor", 0.5, 2.0)
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
    """The random generator of one utterance in one epoch. It is the same in every worker."""
    return np.random.default_rng([seed, epoch, utterance_index])


class NoiseBank:
    """Recordings of noise. The bank reads one at its first draw and keeps it if memory allows.

    If the bank cannot read a recording, it warns and takes another one. So one bad file does not
    end a long run.
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
        """(N,) samples of one recording from a random place on. A short recording repeats.

        The result depends on `rng` and the recordings alone, not on earlier draws.
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


class SpeedPlan:
    """The speed of every utterance in each epoch, known before the epoch begins.

    So the sampler can put utterances together that have a similar length after the change.
    """

    def __init__(self, config: AugmentationConfig, seed: int, num_utterances: int) -> None:
        self._config = config
        self._seed = seed
        self._num_utterances = num_utterances
        self._plans: dict[int, Percents] = {}

    def percents(self, epoch: int) -> Percents:
        """(utterances,) int16 percent: 100 where the speed does not change."""
        if epoch not in self._plans:
            rng = np.random.default_rng([self._seed, epoch, SPEED_STREAM])
            chosen = rng.random(self._num_utterances) < self._config.speed_probability
            drawn = rng.uniform(*self._config.speed_factor, self._num_utterances)
            plan = np.where(chosen, np.rint(100 * drawn), 100).astype(np.int16)
            self._plans = {**dict(list(self._plans.items())[-1:]), epoch: plan}
        return self._plans[epoch]


@dataclass(frozen=True)
class Changes:
    """The changes to one utterance. All random values are drawn.

    tail: (n,) float32, the sound that the room adds after the direct sound; noise: (N',) float32;
    bands: (low, high) in Hz, one filter after the other; gain: factor of the amplitudes.
    frequency_masks, time_masks: (first, one after the last) bin or frame to set to 0.
    """

    speed_percent: int = 100
    tail: Floats | None = None
    noise: Floats | None = None
    noise_snr_db: float = 0.0
    bands: tuple[tuple[float, float], ...] = ()
    gain: float = 1.0
    vocal_tract: float = 1.0
    time_masks: tuple[tuple[int, int], ...] = ()
    frequency_masks: tuple[tuple[int, int], ...] = ()

    @property
    def waveform_changes(self) -> bool:
        """Whether the waveform changes."""
        is_heard = self.tail is not None or self.noise is not None or bool(self.bands)
        return is_heard or self.speed_percent != 100 or self.gain != 1.0


class Augmenter:
    """Draws the changes to an utterance from its random generator.

    The order is the order of the real world: the speaker, the room, the noise in it, the
    microphone and line, the volume. Without a noise bank there is no noise, whatever its
    probability.
    """

    def __init__(self, config: AugmentationConfig, noise: NoiseBank | None = None) -> None:
        self.config = config
        self._noise = noise

    def draw(
        self, num_samples: int, rng: np.random.Generator, speed_percent: int | None = None
    ) -> Changes:
        """The changes to a waveform of `num_samples` samples.

        speed_percent: the speed that a plan has drawn; None: draw it here.
        """
        config = self.config
        if num_samples == 0:
            return Changes()
        if speed_percent is None:
            chosen = rng.random() < config.speed_probability
            speed_percent = round(100 * rng.uniform(*config.speed_factor)) if chosen else 100
        tail = noise = None
        snr_db, gain, bands = 0.0, 1.0, []
        if rng.random() < config.reverberation_probability:
            decay_s = rng.uniform(*config.reverberation_s)
            tail = room_tail(decay_s, rng.uniform(*config.direct_to_reverberant_db), rng)
        if self._noise is not None and rng.random() < config.noise_probability:
            snr_db = rng.uniform(*config.noise_snr_db)
            noise = self._noise.draw(length_at_speed(num_samples, speed_percent), rng)
        if rng.random() < config.lowpass_probability:
            bands.append((0.0, rng.uniform(*config.lowpass_hz)))
        if rng.random() < config.telephone_probability:
            bands.append(config.telephone_hz)
        if rng.random() < config.gain_probability:
            gain = 10 ** (rng.uniform(*config.gain_db) / 20)
        return Changes(speed_percent, tail, noise, snr_db, tuple(bands), gain)

    def draw_for_features(
        self, changes: Changes, num_frames: int, num_bins: int, rng: np.random.Generator
    ) -> Changes:
        """`changes`, with the changes to the (num_frames, num_bins) features of the result."""
        config = self.config
        vocal_tract = 1.0
        if config.vocal_tract_probability and rng.random() < config.vocal_tract_probability:
            vocal_tract = rng.uniform(*config.vocal_tract_factor)
        times, frequencies = draw_masks(num_frames, num_bins, rng, config)
        return replace(
            changes, vocal_tract=vocal_tract, time_masks=times, frequency_masks=frequencies
        )


def length_at_speed(num_samples: int, speed_percent: int) -> int:
    """The number of samples after playing `num_samples` at `speed_percent` percent of the speed."""
    return -(-num_samples * 100 // speed_percent)


def room_tail(decay_s: float, direct_to_reverberant_db: float, rng: np.random.Generator) -> Floats:
    """The tail that a room adds after the direct sound, (n,): noise that falls 60 dB in `decay_s`.

    Noise that falls exponentially is Polack's model of a room (1988).
    """
    num_tail = max(1, round(decay_s * SAMPLE_RATE_HZ))
    fall = np.exp(np.arange(num_tail, dtype=np.float32) * np.float32(-math.log(1000) / num_tail))
    tail = rng.standard_normal(num_tail, np.float32) * fall
    power = float(np.dot(tail, tail))
    wanted_power = 10 ** (-direct_to_reverberant_db / 10)
    return np.asarray(tail * np.float32(math.sqrt(wanted_power / power)), np.float32)


def draw_masks(
    num_frames: int, num_bins: int, rng: np.random.Generator, config: AugmentationConfig
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Stretches of time and of frequency to set to 0, which is the features' mean over speech."""
    if num_frames * num_bins == 0 or rng.random() >= config.mask_probability:
        return (), ()
    longest = min(config.time_mask_frames, int(config.time_mask_share * num_frames))
    times = [_stretch(num_frames, longest, rng) for _ in range(config.num_time_masks)]
    frequencies = [
        _stretch(num_bins, config.frequency_mask_bins, rng)
        for _ in range(config.num_frequency_masks)
    ]
    return tuple(times), tuple(frequencies)


def _stretch(length: int, widest: int, rng: np.random.Generator) -> tuple[int, int]:
    """A random stretch within `length`. Its width is 0 to `widest`."""
    width = int(rng.integers(min(widest, length) + 1))
    start = int(rng.integers(length - width + 1))
    return start, start + width
