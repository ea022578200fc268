"""The spectrogram of deepspeech.pytorch: logarithms of magnitudes, normalised by clip."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ds2.model.features import Floats, finite_samples


@dataclass(frozen=True)
class MagnitudeConfig:
    """How audio becomes log(1 + magnitude) of a short-time Fourier transform.

    A frame is centred on its sample: the clip is mirrored at both ends. The features of a clip
    have zero mean and unit deviation over all its bins and frames, so the clip's end must be
    known.
    """

    kind: Literal["magnitudes"] = "magnitudes"
    sample_rate_hz: int = 16_000
    window_ms: float = 20.0
    stride_ms: float = 10.0
    window_shape: Literal["hamming", "hann", "blackman", "bartlett"] = "hamming"

    def __post_init__(self) -> None:
        if self.kind != "magnitudes":
            raise ValueError('kind: must be "magnitudes"')
        if self.sample_rate_hz < 1:
            raise ValueError("sample_rate_hz: must be positive")
        if self.stride < 1:
            raise ValueError("stride_ms: must be at least one sample")
        if self.window < max(2, self.stride):
            raise ValueError("window_ms: must be at least stride_ms and two samples")

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
        """Whether frames can leave before the clip's end is known: never."""
        return False

    @property
    def summary(self) -> str:
        """For people."""
        return (
            f"{self.num_bins} bins, {self.window_ms:g} ms ({self.window_shape}) every "
            f"{self.stride_ms:g} ms, log of magnitude normalised by clip"
        )

    def num_frames(self, num_samples: int) -> int:
        """T: one frame, and one more for each whole stride; none without samples."""
        return 1 + num_samples // self.stride if num_samples else 0


class MagnitudeStream:
    """The spectrogram of one clip: all frames come at the end."""

    def __init__(self, config: MagnitudeConfig) -> None:
        self._config = config
        self._pieces: list[Floats] = []

    def feed(self, waveform: npt.NDArray[Any]) -> Floats:
        """Take (N,) more samples; no frame is ready before the end: (0, F)."""
        self._pieces.append(finite_samples(waveform).copy())  # the caller may reuse its buffer
        return np.empty((0, self._config.num_bins), np.float32)

    def finish(self) -> Floats:
        """The (T, F) frames of the clip."""
        config = self._config
        clip = np.concatenate([np.empty(0, np.float32), *self._pieces])
        self._pieces = []
        if not len(clip):
            return np.empty((0, config.num_bins), np.float32)
        mirrored = np.pad(clip, config.window // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(mirrored, config.window)
        features = np.log1p(np.abs(np.fft.rfft(frames[:: config.stride] * _window(config))))
        features -= np.float32(features.mean(dtype=np.float64))
        deviation = float(features.std(ddof=1, dtype=np.float64)) if features.size > 1 else 0.0
        return np.asarray(features / np.float32(deviation or 1.0), np.float32)  # or: silence


def _window(config: MagnitudeConfig) -> Floats:
    """(window,) of the shape asked for; periodic, as for a Fourier transform."""
    shapes = {
        "hamming": np.hamming,
        "hann": np.hanning,
        "blackman": np.blackman,
        "bartlett": np.bartlett,
    }
    return np.asarray(shapes[config.window_shape](config.window + 1)[:-1], np.float32)
