"""Waveforms as the bytes of a FLAC or Opus file, the same bytes each time."""

import io

import av
import numpy as np
import soundfile

from ds2.resampling import SAMPLE_RATE_HZ, Waveform

OPUS_BITS_PER_S = 32_000  # of speech at 16 kHz, hard to tell from the original


def encode_flac(waveform: Waveform) -> bytes:
    """(N,) samples at 16 kHz as FLAC of 16 bits: nothing is lost of a 16-bit recording."""
    file = io.BytesIO()
    samples = np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)
    soundfile.write(file, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
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
