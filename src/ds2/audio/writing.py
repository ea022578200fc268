"""Waveforms to WAV, FLAC and Opus: files, or the same bytes each time."""

import io
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile

from ds2.audio.resampling import SAMPLE_RATE_HZ, Waveform
from ds2.files import atomic_write

OPUS_BITS_PER_S = 32_000  # of speech at 16 kHz, hard to tell from the original


def write_wav(path: str | Path, waveform: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write (N,) float32 in [-1, 1] as 16-bit WAV; louder samples are clipped.

    Samples that came from 16 bits are read back as they were.
    """
    _write(path, waveform, sample_rate_hz, "WAV")


def write_flac(path: str | Path, waveform: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """The same as FLAC, in about half the space."""
    _write(path, waveform, sample_rate_hz, "FLAC")


def _write(path: str | Path, waveform: Waveform, sample_rate_hz: int, form: str) -> None:
    with atomic_write(path, "wb") as file:
        soundfile.write(file, _pcm16(waveform), sample_rate_hz, format=form, subtype="PCM_16")


def encode_flac(waveform: Waveform) -> bytes:
    """(N,) samples at 16 kHz as FLAC of 16 bits: nothing is lost of a 16-bit recording."""
    file = io.BytesIO()
    soundfile.write(file, _pcm16(waveform), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def encode_opus(waveform: Waveform) -> bytes:
    """(N,) samples at 16 kHz as Opus in Ogg: a sixth of FLAC, with a loss.

    libsndfile would draw the stream's serial number at random, so this is FFmpeg's.
    """
    file = io.BytesIO()
    samples = np.clip(waveform, -1.0, 1.0).astype(np.float32)[None]  # (1, N)
    with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.bit_rate = OPUS_BITS_PER_S
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _pcm16(waveform: Waveform) -> npt.NDArray[np.int16]:
    """(N,) int16: the nearest values; louder samples are clipped."""
    return np.asarray(np.clip(np.rint(waveform * 32768.0), -32768, 32767), np.int16)
