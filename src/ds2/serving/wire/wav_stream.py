"""Whole WAV files in place of bare samples: many clients send them with their header."""

import struct
from dataclasses import dataclass

from ds2.audio.headers import UNKNOWN_LENGTH
from ds2.audio.samples import Encoding
from ds2.serving.engine.refused import Refused

LONGEST_HEADER = 1 << 16  # bytes; real tags before the samples are shorter
EXTENSIBLE = 0xFFFE  # the true format is in the first two bytes of a later GUID
ENCODINGS: dict[tuple[int, int], Encoding] = {
    (1, 16): "s16le",
    (3, 32): "f32le",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
"""Encodings by format tag and bits per sample."""


@dataclass(frozen=True)
class WavForm:
    """The format in a WAV header."""

    sample_rate_hz: int
    encoding: Encoding
    start: int  # bytes before the first sample
    num_bytes: int | None  # of samples; None: until the stream ends

    def check(self, encoding: Encoding, sample_rate_hz: int) -> None:
        """Raise Refused if the client has announced another format."""
        if (encoding, sample_rate_hz) != (self.encoding, self.sample_rate_hz):
            there = f"{self.encoding} at {self.sample_rate_hz} Hz"
            told = f"{encoding} at {sample_rate_hz} Hz"
            raise Refused(400, f"the WAV header says {there}, but the client announced {told}")


class HeaderOff:
    """Removes a WAV file's header, and everything after its samples, from a stream."""

    def __init__(self) -> None:
        self.form: WavForm | None = None
        self._head: bytes | None = b""  # bytes that may still become a header
        self._num_left: int | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it needs more bytes to recognise a header."""
        return self._head is not None

    def feed(self, data: bytes) -> bytes:
        """Take bytes, and return the samples among them. Raises Refused for unusable files."""
        if self._head is not None:
            self._head += data
            form = None
            if _may_begin(self._head):
                form = wav_form(self._head)
                if form is None:
                    self._check_length(self._head)
                    return b""
                self.form, self._num_left = form, form.num_bytes
            data, self._head = self._head[form.start if form else 0 :], None
        if self._num_left is None:
            return data
        data = data[: self._num_left]
        self._num_left -= len(data)
        return data

    def _check_length(self, head: bytes) -> None:
        if len(head) > LONGEST_HEADER:
            raise Refused(400, "this WAV file's header does not end: send only samples")


def _may_begin(head: bytes) -> bool:
    """Whether a WAV file may begin with these bytes."""
    return b"RIFF".startswith(head[:4]) and b"WAVE".startswith(head[8:12])


def wav_form(head: bytes) -> WavForm | None:
    """The format in the header of a WAV file; None while a part of the header is missing.

    Raises Refused unless it is one channel of a known encoding.
    """
    place, found = 12, None
    while place + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, place)
        if name == b"data":
            if found is None:
                raise Refused(400, "this WAV file has no format before its samples")
            is_told = 0 < size < UNKNOWN_LENGTH
            return WavForm(*found, place + 8, size if is_told else None)
        if name == b"fmt " and size >= 16 and place + 8 + size <= len(head):
            found = _format(head[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    return None


def _format(chunk: bytes) -> tuple[int, Encoding]:
    tag, num_channels, rate_hz, _, _, num_bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)
    if (tag, num_bits) not in ENCODINGS:
        raise Refused(400, f"cannot read WAV format {tag} of {num_bits} bits: send 16-bit integers")
    if num_channels != 1:
        raise Refused(400, f"this WAV file has {num_channels} channels: send one")
    return rate_hz, ENCODINGS[tag, num_bits]
