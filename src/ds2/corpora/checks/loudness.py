"""The level of a recording, and the ratio of its speech to its noise."""

import numpy as np
from numpy.typing import NDArray

from ds2.audio import Waveform

FRAME = 320  # samples: 20 ms
NOISE_QUANTILE = 0.1  # of the frames' powers: an estimate of the noise between words
FEWEST_FRAMES = 25  # half a second; an estimate of less says little
SILENCE = 1e-10  # power (-100 dB): less comes from a noise gate or padding, not from a room
HIGHEST_DB, LOWEST_DB = 60.0, -10.0  # limits of an estimate


class Loudness:
    """Level and signal-to-noise ratio of a recording that comes in pieces.

    The noise is the tenth percentile of the powers of frames of 20 ms, because at least a tenth of
    most recordings is pauses. The speech is the mean power without the noise. Digital silence at
    both ends does not count. The ratio is too low if nobody pauses. Music and other voices count as
    speech.
    """

    def __init__(self) -> None:
        self._powers: list[NDArray[np.float64]] = []
        self._energy = 0.0
        self._num_samples = 0

    def feed(self, waveform: Waveform) -> None:
        """Take (N,) more samples. The rest after the last whole frame counts for the level only."""
        squares = waveform.astype(np.float64) ** 2
        self._energy += float(squares.sum())
        self._num_samples += len(squares)
        whole = squares[: len(squares) // FRAME * FRAME].reshape(-1, FRAME)
        self._powers.append(whole.mean(axis=1))

    @property
    def level_db(self) -> float | None:
        """Mean power in dBFS, 0 for a square wave at full scale; None for digital silence."""
        power = self._energy / max(1, self._num_samples)
        return 10 * float(np.log10(power)) if power > SILENCE else None

    @property
    def snr_db(self) -> float | None:
        """Estimated ratio of speech to noise, from -10 to 60 dB; None for under half a second."""
        powers = np.concatenate([np.empty(0), *self._powers])
        loud = np.flatnonzero(powers > SILENCE)
        powers = powers[loud[0] : loud[-1] + 1] if len(loud) else powers[:0]
        if len(powers) < FEWEST_FRAMES:
            return None
        noise = max(float(np.quantile(powers, NOISE_QUANTILE)), SILENCE)
        speech = float(powers.mean()) - noise
        if speech <= 0:
            return LOWEST_DB
        return float(np.clip(10 * np.log10(speech / noise), LOWEST_DB, HIGHEST_DB))
