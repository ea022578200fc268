"""The spectrogram of deepspeech.pytorch: the logarithm of magnitudes, normalised by clip."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ds2.model.features import Floats, finite_samples
from ds2.model.framing import Framing


@dataclass(frozen=True)
class MagnitudeConfig(Framing):
    """How audio becomes log(1 + magnitude) of a short-time Fourier transform.

    The middle of a frame lies on its sample, so ds2 mirrors the clip at both ends. The features of
    a clip have mean 0 and deviation 1 over all bins and frames. So the clip must have ended before
    the first frame comes.
    """

    kind: Literal["magnitudes"] = "magnitudes"
    sample_rate_hz: int = 16_000
    window_ms: float = 20.0
    stride_ms: float = 10.0
    window_shape: Literal["hamming", "hann", "blackman", "bartlett"] = "hamming"

    def __post_init__(self) -> None:
        if self.kind != "magnitudes":
            raise ValueError('kind: must be "magnitudes"')
        self.check_framing()

    @property
    def num_bins(self) -> int:
        """F: the number of linear frequency bins from 0 Hz to half the sample rate."""
        return self.window // 2 + 1

    @property
    def causal(self) -> bool:
        """Whether frames come before the clip has ended: never."""
        return False

    @property
    def summary(self) -> str:
        """A short description for people."""
        return (
            f"{self.num_bins} bins, {self.window_ms:g} ms ({self.window_shape}) every "
            f"{self.stride_ms:g} ms, log of magnitude normalised by clip"
        )

    def num_frames(self, num_samples: int) -> int:
        """T: one frame, and one more for each whole stride. Without samples there is no frame."""
        return 1 + num_samples // self.stride if num_samples else 0


class MagnitudeStream:
    """Computes the spectrogram of one clip. All frames come at the end."""

    def __init__(self, config: MagnitudeConfig) -> None:
        self._config = config
        self._pieces: list[Floats] = []

    def feed(self, waveform: npt.NDArray[Any]) -> Floats:
        """Take (N,) more samples; return (0, F): no frame is ready before the end."""
        self._pieces.append(finite_samples(waveform).copy())  # the caller may reuse its buffer
        return np.empty((0, self._config.num_bins), np.float32)

    def finish(self) -> Floats:
        """All (T, F) frames of the clip."""
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
        return np.asarray(features / np.float32(deviation or 1.0), np.float32)  # silence: 1


def _window(config: MagnitudeConfig) -> Floats:
    """The periodic window of shape `window_shape`, (window,)."""
    shapes = {
        "hamming": np.hamming,
        "hann": np.hanning,
        "blackman": np.blackman,
        "bartlett": np.bartlett,
    }
    return np.asarray(shapes[config.window_shape](config.window + 1)[:-1], np.float32)
