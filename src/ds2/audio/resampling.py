"""Changes the sample rate of a waveform while it arrives."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

SAMPLE_RATE_HZ = 16_000
"""The rate of every waveform inside ds2."""

Waveform = npt.NDArray[np.float32]
"""Samples of one channel, (N,) float32; or (N, C) for split channels."""


class Resampler:
    """Turns a waveform at one rate into the same waveform at another rate, piece by piece.

    The joined output does not depend on the pieces of the input, because soxr's stream is a fixed
    filter over the samples. It holds back as much as its filter needs, some 40 ms at 48 kHz and
    120 ms at 8 kHz, until more samples come or you call `finish`.
    """

    def __init__(
        self, rate_in_hz: int, rate_out_hz: int = SAMPLE_RATE_HZ, num_channels: int | None = None
    ) -> None:
        """num_channels: C of (N, C) samples; None takes (N,)."""
        self._none = np.empty((0,) if num_channels is None else (0, num_channels), np.float32)
        num_lines = num_channels or 1
        self._stream = (
            soxr.ResampleStream(rate_in_hz, rate_out_hz, num_lines, dtype="float32", quality="HQ")
            if rate_in_hz != rate_out_hz
            else None
        )

    def feed(self, waveform: Waveform) -> Waveform:
        """Take (N,) more samples, and return the (M,) output samples that are ready, maybe none."""
        return self._resample(waveform, last=False)

    def finish(self) -> Waveform:
        """The last (M,) samples. Do not feed samples after this."""
        return self._resample(self._none, last=True)

    def _resample(self, waveform: Waveform, *, last: bool) -> Waveform:
        waveform = np.ascontiguousarray(waveform, np.float32)
        if self._stream is None:
            return waveform
        resampled: Waveform = self._stream.resample_chunk(waveform, last=last)
        return resampled


def resampled(pieces: Iterable[Waveform], rate_in_hz: int) -> Iterator[Waveform]:
    """The pieces at 16 kHz, cut to [-1, 1], because the filter and lossy codecs overshoot peaks."""
    resampler: Resampler | None = None
    for piece in pieces:
        if resampler is None:
            resampler = Resampler(
                rate_in_hz, num_channels=piece.shape[1] if piece.ndim == 2 else None
            )
        yield np.clip(resampler.feed(piece), -1.0, 1.0)
    if resampler is not None:
        yield np.clip(resampler.finish(), -1.0, 1.0)


def regrouped(pieces: Iterable[Waveform], num_samples: int) -> Iterator[Waveform]:
    """The same samples in pieces of exactly `num_samples`. The last piece may be shorter."""
    held: list[Waveform] = []
    num_held = 0
    for piece in pieces:
        while num_held + len(piece) >= num_samples:
            cut = num_samples - num_held
            yield np.concatenate([*held, piece[:cut]])
            held, num_held, piece = [], 0, piece[cut:]
        if len(piece):
            held.append(piece)
            num_held += len(piece)
    if num_held:
        yield np.concatenate(held)
