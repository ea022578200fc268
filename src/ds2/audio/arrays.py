"""Samples as programs hold them, of any common type and shape, to waveforms at 16 kHz."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ds2.audio.channels import ChannelChoice, Channels, DownMix
from ds2.audio.pcm import as_floats, check_form, checked
from ds2.audio.resampling import SAMPLE_RATE_HZ, Resampler, Waveform, resampled
from ds2.errors import InputError

MOST_CHANNELS = 32
"""A second axis longer than this is no axis of channels."""
NAME = "the samples"
PIECE = 480_000
"""Samples in memory that are taken at a time."""
INTEGERS = (np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.uint8))
"""Whole numbers of which everybody knows the full scale."""


class SampleIntake:
    """Samples that a program feeds, piece by piece, to (N,) float32 at 16 kHz."""

    def __init__(self, sample_rate: int | None = None) -> None:
        """sample_rate: of the samples, in Hz; None is 16000. Raises InputError."""
        self._rate_hz = SAMPLE_RATE_HZ if sample_rate is None else sample_rate
        check_form(self._rate_hz, 1, NAME)
        self._resampler = Resampler(self._rate_hz) if self._rate_hz != SAMPLE_RATE_HZ else None
        self._num_samples = 0
        self._mix = DownMix(NAME)

    def feed(self, samples: Any) -> Waveform:
        """Take samples as `frames_of` does; return those of the mix at 16 kHz that they complete.

        Raises InputError.
        """
        waveform = self._mix.feed(frames_of(samples))
        (waveform,) = checked([waveform], self._num_samples, self._rate_hz, NAME)
        self._num_samples += len(waveform)
        if self._resampler is None:
            return waveform
        return np.clip(self._resampler.feed(waveform), -1.0, 1.0)

    def finish(self) -> Waveform:
        """The samples that the resampler still holds; nothing may be fed after this."""
        if self._resampler is None:
            return np.empty(0, np.float32)
        return np.clip(self._resampler.finish(), -1.0, 1.0)


def array_blocks(
    samples: Any, sample_rate: int | None = None, channels: Channels = "mix"
) -> Iterator[Waveform]:
    """Samples in memory, as `frames_of` takes them, in pieces of (N,) at 16 kHz.

    sample_rate: of the samples, in Hz; None is 16000. channels: as of `audio_blocks`.
    Raises InputError.
    """
    rate_hz = SAMPLE_RATE_HZ if sample_rate is None else sample_rate
    check_form(rate_hz, 1, NAME)
    frames, choice = frames_of(samples), ChannelChoice(channels, NAME)
    pieces = (choice.feed(frames[start : start + PIECE]) for start in _starts(frames))
    yield from resampled(checked(pieces, 0, rate_hz, NAME), rate_hz)


def _starts(frames: Waveform) -> range:
    """Of the pieces; an empty array is one."""
    return range(0, max(1, len(frames)), PIECE)


def mono_of(samples: Any) -> Waveform:
    """(N,) float32, full scale at 1: the mean of the channels.

    samples: as `frames_of` takes them. Raises InputError.
    """
    return DownMix(NAME).feed(frames_of(samples))


def frames_of(samples: Any) -> Waveform:
    """(N, C) float32, full scale at 1: the samples, channels last.

    samples: (N,) or (N, channels) floats in [-1, 1], or int16, int32 or uint8, whose full scale is
        that of their type; a list of floats; whatever else numpy makes an array of.

    Raises InputError that says what to do.
    """
    if isinstance(samples, np.ndarray) and samples.dtype == np.float32 and samples.ndim == 1:
        return samples[:, np.newaxis]
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors of a GPU
        raise InputError(f"{NAME}: numpy makes no array of them: {error}") from None
    if array.ndim not in (1, 2):
        raise InputError(f"{NAME}: have the shape {array.shape}: give (N,) or (N, channels)")
    if array.ndim == 2 and array.shape[1] > MOST_CHANNELS:
        raise InputError(
            f"{NAME}: have the shape {array.shape}, which would be {array.shape[1]} channels: "
            "channels come last here: give samples.T"
        )
    if array.dtype.kind != "f" and array.dtype not in INTEGERS and array.size:
        raise InputError(
            f"{NAME}: are {array.dtype}, of which nobody knows the full scale: give floats in "
            "[-1, 1], or say what they are, as with np.array(samples, np.int16)"
        )
    return as_floats(array if array.ndim == 2 else array[:, np.newaxis])
