"""Writes waveforms as WAV and FLAC files, and encodes them as FLAC and Opus.

The same waveform always gives the same bytes.
"""

import io
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile

from ds2.audio.resampling import SAMPLE_RATE_HZ, Waveform
from ds2.files import atomic_write

OPUS_BITS_PER_S = 32_000  # speech at 16 kHz that sounds like the original


def write_wav(path: str | Path, waveform: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write (N,) float32 in [-1, 1] as 16-bit WAV. This clips louder samples.

    A waveform from a 16-bit recording keeps its exact samples.
    """
    _write(path, waveform, sample_rate_hz, "WAV")


def write_flac(path: str | Path, waveform: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write (N,) float32 in [-1, 1] as 16-bit FLAC, in about half the space of WAV."""
    _write(path, waveform, sample_rate_hz, "FLAC")


def _write(path: str | Path, waveform: Waveform, sample_rate_hz: int, form: str) -> None:
    with atomic_write(path, "wb") as file:
        soundfile.write(file, _pcm16(waveform), sample_rate_hz, format=form, subtype="PCM_16")


def encode_flac(waveform: Waveform) -> bytes:
    """Encode (N,) samples at 16 kHz as 16-bit FLAC. A 16-bit recording keeps its exact samples."""
    file = io.BytesIO()
    soundfile.write(file, _pcm16(waveform), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def encode_opus(waveform: Waveform) -> bytes:
    """Encode (N,) samples at 16 kHz as Opus in Ogg: lossy, and a sixth of FLAC's size.

    This uses FFmpeg, because libsndfile would draw the stream's serial number at random.
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
    """The nearest 16-bit values, (N,) int16. This clips louder samples."""
    return np.asarray(np.clip(np.rint(waveform * 32768.0), -32768, 32767), np.int16)
