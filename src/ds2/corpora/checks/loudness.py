"""How loud a recording is, and how far its speech stands above its noise."""

import numpy as np
from numpy.typing import NDArray

from ds2.audio import Waveform

FRAME = 320  # samples: 20 ms
NOISE_QUANTILE = 0.1  # of the frames' powers, taken for the noise between words
FEWEST_FRAMES = 25  # half a second, below which an estimate says little
SILENCE = 1e-10  # power (-100 dB): no room is so quiet, only what was gated or padded
HIGHEST_DB, LOWEST_DB = 60.0, -10.0  # an estimate's ends: beyond them it cannot tell


class Loudness:
    """Level and signal-to-noise ratio of a recording that comes in pieces.

    The estimate: the powers of frames of 20 ms are sorted, and that of the tenth percentile is
    the noise, since at least a tenth of most recordings is pauses. What the mean power has above
    it is the speech. Digital silence at either end does not count. Where nobody pauses it is too
    low; a noise that speaks itself (music, other voices) is speech to it.
    """

    def __init__(self) -> None:
        self._powers: list[NDArray[np.float64]] = []
        self._energy = 0.0
        self._num_samples = 0

    def feed(self, waveform: Waveform) -> None:
        """Take (N,) more samples; what is over after whole frames counts for the level alone."""
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
        """Estimated ratio of speech to noise, from -10 to 60; None for less than half a second."""
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
