"""Turns samples in messages of any number of bytes, as clients send them, into waveforms."""

from typing import Literal, TypeAlias

import numpy as np

from ds2.audio.resampling import Waveform

Encoding: TypeAlias = Literal["s16le", "f32le", "mulaw", "alaw"]
"""16-bit integers or 32-bit floats, little endian; or the telephone's 8 bits (ITU-T G.711)."""

ENCODINGS: tuple[Encoding, ...] = ("s16le", "f32le", "mulaw", "alaw")
SAMPLE_BYTES: dict[Encoding, int] = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}
"""Bytes of one sample of one channel."""


class Samples:
    """Turns bytes of one encoding into float32. Half a sample waits for the next message."""

    def __init__(self, encoding: Encoding, num_channels: int | None = None) -> None:
        """num_channels: C of interleaved samples, which become (N, C); None gives one, (N,)."""
        self.encoding = encoding
        self._num_channels = num_channels
        self._width = SAMPLE_BYTES[encoding] * (num_channels or 1)
        self._held = b""

    @property
    def has_rest(self) -> bool:
        """Whether a part of a sample is held."""
        return bool(self._held)

    def feed(self, data: bytes) -> Waveform:
        """Take bytes, and return the complete samples as float32 with full scale at 1."""
        data = self._held + data if self._held else data
        whole = len(data) // self._width * self._width
        self._held = data[whole:]
        samples = self._decoded(data, whole)
        return samples if self._num_channels is None else samples.reshape(-1, self._num_channels)

    def _decoded(self, data: bytes, whole: int) -> Waveform:
        if self.encoding == "f32le":
            return np.frombuffer(data[:whole], "<f4").astype(np.float32)
        if self.encoding == "s16le":
            return np.frombuffer(data[:whole], "<i2") * np.float32(2.0**-15)
        table = _MULAW if self.encoding == "mulaw" else _ALAW
        decoded: Waveform = table[np.frombuffer(data[:whole], np.uint8)]
        return decoded


def _mulaw_table() -> Waveform:
    """The sample for each byte of mu-law, (256,) float32 (G.711, table 2)."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = (((mantissa << 3) + 132) << exponent) - 132
    return (np.where(code & 128, -size, size) / 32768).astype(np.float32)


def _alaw_table() -> Waveform:
    """The sample for each byte of A-law, (256,) float32 (G.711, table 1)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    fine = (mantissa << 4) + 8
    size = np.where(exponent > 0, (fine + 256) << np.maximum(exponent - 1, 0), fine)
    return (np.where(code & 128, size, -size) / 32768).astype(np.float32)


_MULAW = _mulaw_table()
_ALAW = _alaw_table()
