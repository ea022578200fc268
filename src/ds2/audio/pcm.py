"""Samples as they come, of any width and number of channels, made into one sound waveform."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ds2.audio.resampling import Waveform
from ds2.audio.samples import SAMPLE_BYTES, Encoding, Samples
from ds2.errors import InputError

LOUDEST = 64.0  # 36 dB over full scale: float samples beyond it were never divided by 32768
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 2_000, 768_000


def pcm_pieces(
    file: BinaryIO, name: str, num_channels: int, encoding: Encoding, num_frames: int
) -> Iterator[Waveform]:
    """(N, C) samples at their own rate, `num_frames` at a time, unchecked.

    Raises InputError if there is nothing, or half a sample at the end.
    """
    width = SAMPLE_BYTES[encoding] * num_channels
    samples, held, num_bytes = Samples(encoding), b"", 0
    while data := file.read(num_frames * width - len(held)):
        num_bytes += len(data)
        held += data
        whole = len(held) // width * width
        yield as_floats(samples.feed(held[:whole]).reshape(-1, num_channels))
        held = held[whole:]
    if held:
        raise InputError(
            f"{name}: ends within a sample: {num_bytes} bytes are no multiple of {width}"
            f" ({num_channels} x {encoding}): check the encoding and the number of channels"
        )
    if not num_bytes:
        raise InputError(f"{name}: is empty: there is no recording in it")


def as_floats(samples: npt.NDArray[Any]) -> Waveform:
    """(N, C) samples of any type as float32, full scale brought to 1."""
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.int16) - 128) * np.int16(256)
    if samples.dtype.kind == "i":
        samples = samples * np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))
    with np.errstate(over="ignore", invalid="ignore"):  # broken samples are told of by `checked`
        return samples.astype(np.float32, copy=False)


def checked(pieces: Iterable[Waveform], start: int, rate: int, name: str) -> Iterator[Waveform]:
    """The (N,) or (N, C) pieces, as long as they are sound; start: samples before the first."""
    position = start
    for piece in pieces:
        if len(piece) and not np.abs(piece).max() <= LOUDEST:  # not <=: true of NaN too
            index = int(np.argmin(np.abs(piece) <= LOUDEST))
            sample, time_s = piece.flat[index], (position + index // piece[0].size) / rate
            told = f"{name}: the sample at {time_s:.3f} s is {sample:g}: "
            if np.isfinite(sample):
                raise InputError(told + "float samples lie in [-1, 1]: scale them")
            raise InputError(told + "not sound: export the recording again")
        yield piece
        position += len(piece)


def check_form(rate_hz: int, num_channels: int, name: str) -> None:
    """Raise InputError for rates and numbers of channels that no recording has."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InputError(
            f"{name}: has a sample rate of {rate_hz} Hz: it must be {LOWEST_RATE_HZ} to"
            f" {HIGHEST_RATE_HZ}; 8000 to 48000 is usual"
        )
    if num_channels < 1:
        raise InputError(f"{name}: has {num_channels} channels: it must be 1 or more")
