"""Turns samples without a header into waveforms: raw bytes of a pipe, and arrays."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ds2.audio.channels import ChannelChoice, Channels, DownMix
from ds2.audio.resampling import SAMPLE_RATE_HZ, Resampler, Waveform, resampled
from ds2.audio.samples import SAMPLE_BYTES, Encoding, Samples
from ds2.errors import InputError

LOUDEST = 64.0  # 36 dB over full scale: nobody divided louder float samples by 32768
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 2_000, 768_000


def pcm_pieces(
    file: BinaryIO, name: str, num_channels: int, encoding: Encoding, num_frames: int
) -> Iterator[Waveform]:
    """Samples at their own rate, `num_frames` at a time, as (N, C), unchecked.

    Raises InputError for empty input, or for half a sample at the end.
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
            f"{name}: ends within a sample: {num_bytes} bytes are not a multiple of {width}"
            f" ({num_channels} x {encoding}): check the encoding and the number of channels"
        )
    if not num_bytes:
        raise InputError(f"{name}: is empty: there is no recording in it")


def as_floats(samples: npt.NDArray[Any]) -> Waveform:
    """Samples of any type, (N, C), as float32 with full scale at 1."""
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.int16) - 128) * np.int16(256)
    if samples.dtype.kind == "i":
        samples = samples * np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))
    with np.errstate(over="ignore", invalid="ignore"):  # `checked` reports broken samples
        return samples.astype(np.float32, copy=False)


def checked(pieces: Iterable[Waveform], start: int, rate: int, name: str) -> Iterator[Waveform]:
    """The (N,) or (N, C) pieces. Raises InputError for broken samples.

    start: number of samples before the first piece.
    """
    position = start
    for piece in pieces:
        if len(piece) and not np.abs(piece).max() <= LOUDEST:  # not <=: true of NaN too
            index = int(np.argmin(np.abs(piece) <= LOUDEST))
            sample, time_s = piece.flat[index], (position + index // piece[0].size) / rate
            told = f"{name}: the sample at {time_s:.3f} s is {sample:g}: "
            if np.isfinite(sample):
                raise InputError(told + "float samples must be in [-1, 1]: scale them")
            raise InputError(told + "not sound: export the recording again")
        yield piece
        position += len(piece)


def check_form(rate_hz: int, num_channels: int, name: str) -> None:
    """Raise InputError for impossible sample rates and numbers of channels."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InputError(
            f"{name}: has a sample rate of {rate_hz} Hz: it must be {LOWEST_RATE_HZ} to"
            f" {HIGHEST_RATE_HZ}; 8000 to 48000 is usual"
        )
    if num_channels < 1:
        raise InputError(f"{name}: has {num_channels} channels: it must have 1 or more")


MOST_CHANNELS = 32
"""A second axis that is longer than this cannot be the channels."""
NAME = "the samples"
PIECE = 480_000
"""Samples in each piece of an array."""
INTEGERS = (np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.uint8))
"""Types of whole numbers with a known full scale."""


class SampleIntake:
    """Turns samples that a program feeds, piece by piece, into (N,) float32 at 16 kHz."""

    def __init__(self, sample_rate: int | None = None) -> None:
        """sample_rate: of the samples, in Hz; None is 16000. Raises InputError."""
        self._rate_hz = SAMPLE_RATE_HZ if sample_rate is None else sample_rate
        check_form(self._rate_hz, 1, NAME)
        self._resampler = Resampler(self._rate_hz) if self._rate_hz != SAMPLE_RATE_HZ else None
        self._num_samples = 0
        self._mix = DownMix(NAME)

    def feed(self, samples: Any) -> Waveform:
        """Take samples as `frames_of` does, and return their mix at 16 kHz, as far as it is ready.

        Raises InputError.
        """
        waveform = self._mix.feed(frames_of(samples))
        (waveform,) = checked([waveform], self._num_samples, self._rate_hz, NAME)
        self._num_samples += len(waveform)
        if self._resampler is None:
            return waveform
        return np.clip(self._resampler.feed(waveform), -1.0, 1.0)

    def finish(self) -> Waveform:
        """The samples that the resampler still holds. Do not feed samples after this."""
        if self._resampler is None:
            return np.empty(0, np.float32)
        return np.clip(self._resampler.finish(), -1.0, 1.0)


def array_blocks(
    samples: Any, sample_rate: int | None = None, channels: Channels = "mix"
) -> Iterator[Waveform]:
    """Samples in memory, as `frames_of` takes them, in pieces of (N,) at 16 kHz.

    sample_rate: of the samples, in Hz; None is 16000. channels: as in `audio_blocks`.
    Raises InputError.
    """
    rate_hz = SAMPLE_RATE_HZ if sample_rate is None else sample_rate
    check_form(rate_hz, 1, NAME)
    frames, choice = frames_of(samples), ChannelChoice(channels, NAME)
    pieces = (choice.feed(frames[start : start + PIECE]) for start in _starts(frames))
    yield from resampled(checked(pieces, 0, rate_hz, NAME), rate_hz)


def _starts(frames: Waveform) -> range:
    """The starts of the pieces. An empty array makes one piece."""
    return range(0, max(1, len(frames)), PIECE)


def mono_of(samples: Any) -> Waveform:
    """The mean of the channels, (N,) float32 with full scale at 1.

    samples: as `frames_of` takes them. Raises InputError.
    """
    return DownMix(NAME).feed(frames_of(samples))


def frames_of(samples: Any) -> Waveform:
    """The samples, (N, C) float32 with full scale at 1, channels last.

    samples: (N,) or (N, channels) floats in [-1, 1]; or int16, int32 or uint8 with the full scale
        of their type; or a list of floats; or anything else that numpy makes an array of.

    Raises InputError that says what to do.
    """
    if isinstance(samples, np.ndarray) and samples.dtype == np.float32 and samples.ndim == 1:
        return samples[:, np.newaxis]
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors of a GPU
        raise InputError(f"{NAME}: numpy cannot make an array of them: {error}") from None
    if array.ndim not in (1, 2):
        raise InputError(f"{NAME}: have the shape {array.shape}: give (N,) or (N, channels)")
    if array.ndim == 2 and array.shape[1] > MOST_CHANNELS:
        raise InputError(
            f"{NAME}: have the shape {array.shape}, which would be {array.shape[1]} channels: "
            "channels come last here: give samples.T"
        )
    if array.dtype.kind != "f" and array.dtype not in INTEGERS and array.size:
        raise InputError(
            f"{NAME}: are {array.dtype}, which has no known full scale: give floats in [-1, 1], or "
            "choose the type, for example with np.array(samples, np.int16)"
        )
    return as_floats(array if array.ndim == 2 else array[:, np.newaxis])
