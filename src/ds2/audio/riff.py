"""Reads faulty WAV files: files with wrong lengths, and several files in one.

Some writers cannot go back to the header, or forget to, and leave a length that is too small. `cat`
puts two files into one. The libraries that read WAV believe the first length, and silently leave
out the rest. This module finds all samples, and gives them to the libraries under a right header.
"""

import io
import logging
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO, cast

from ds2.audio.headers import UNKNOWN_LENGTH
from ds2.audio.sources import Pipe, Seekable

STARTS = (b"RIFF", b"RF64", b"BW64")
PLAIN = (1, 3, 6, 7)  # format tags of samples that may be joined: integers, floats, A-law, mu-law
EXTENSIBLE = 0xFFFE  # the first bytes of a GUID further on are the tag
KNOWN_CHUNKS = re.compile(
    rb"LIST|id3 |ID3 |bext|cue |smpl|fact|PEAK|iXML|axml|JUNK|junk|PAD |FLLR|DISP|afsp|cart|_PMX"
    rb"|acid|inst|plst|umid|levl|chna|ds64|fmt |minf|elm1|regn|wavl|slnt|SNDM|bmrk"
)
TAGS = (b"TAG", b"ID3", b"APETAGEX")  # tags of other formats, at the end of a file
LEAST_S = 0.05  # of sound after the end by the header; less is padding
LONGEST = 1 << 62  # bytes; writers into pipes do not know the length, and write more
LONGEST_CHUNK = 1 << 26  # bytes, if the length of the file is unknown

logger = logging.getLogger("ds2.audio")


@dataclass(frozen=True)
class WavPart:
    """One WAV file. Several may follow one another in a file."""

    form: bytes  # body of its chunk "fmt "
    start: int  # byte where its samples begin
    told: int | None  # bytes of samples by the header; None if unknown
    is_long: bool = False  # RF64, with lengths of 64 bits

    @property
    def tag(self) -> int:
        """The format tag of the samples."""
        tag = int.from_bytes(self.form[:2], "little")
        if tag == EXTENSIBLE and len(self.form) >= 26:
            return int.from_bytes(self.form[24:26], "little")
        return tag

    @property
    def bytes_per_s(self) -> int:
        """Bytes a second by the header, or 1 for a wrong header."""
        return int.from_bytes(self.form[8:12], "little") or 1


@dataclass(frozen=True)
class WavSound:
    """A WAV file under a right header, and a message about it."""

    file: Seekable
    told: str | None


def whole_sound(file: Seekable) -> WavSound:
    """All samples of a WAV file as one file. A right file comes back itself, at its beginning."""
    size = file.seek(0, 2)
    first = _part_at(file, 0)
    is_long = first is not None and first.is_long
    if first is None or (not is_long and (first.told or size) + first.start >= size):
        file.seek(0)
        return WavSound(file, None)
    extents, told = _extents(file, first, size)
    file.seek(0)
    if told is None and extents == [(first.start, first.told)]:
        return WavSound(file, None)
    header = _header(first.form, sum(length for _, length in extents))
    return WavSound(Seekable(cast(BinaryIO, _Spliced(header, file, extents))), told)


def _extents(file: Seekable, first: WavPart, size: int) -> tuple[list[tuple[int, int]], str | None]:
    """The starts and lengths of the samples in the file, in bytes, and a message about them."""
    extents, part, num_parts = [], first, 1
    while True:
        length = min(size - part.start, size if part.told is None else part.told)
        extents.append((part.start, length))
        place = _after_chunks(file, part.start + length + length % 2, size)
        if place is None:
            break
        following = _part_at(file, place)
        rest_s = (size - place) / first.bytes_per_s
        if following is None:
            if rest_s < LEAST_S or first.tag not in PLAIN:
                break
            end = part.start + length  # without a chunk, sound goes on at once
            told_s = sum(length for _, length in extents) / first.bytes_per_s
            extents.append((end, size - end))
            return extents, (
                f"its header counts {told_s:.2f} s, but {rest_s:.2f} s of sound follow: "
                "ds2 reads all of it"
            )
        if following.form[:16] != first.form[:16] or first.tag not in PLAIN:
            return extents, (
                f"a recording of another form follows in the same file (about {rest_s:.0f} s): "
                "ds2 leaves it out: cut the file in two"
            )
        part, num_parts = following, num_parts + 1
    told = f"{num_parts} recordings follow one another in this file: ds2 reads all"
    return extents, told if num_parts > 1 else None


def _part_at(file: Seekable, place: int) -> WavPart | None:
    """The WAV file that begins at this place, or None."""
    file.seek(place)
    head = file.read(12)
    if len(head) < 12 or head[:4] not in STARTS or head[8:12] != b"WAVE":
        return None
    is_long = head[:4] != b"RIFF"
    place, form, long_size = place + 12, b"", None
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return None
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            if len(form) < 16:
                return None
            if size == 0xFFFFFFFF and long_size and long_size < LONGEST:
                size = long_size
            is_known = size > 0 and (size < UNKNOWN_LENGTH or size == long_size)
            return WavPart(form, place + 8, size if is_known else None, is_long)
        if name in (b"fmt ", b"ds64"):
            body = file.read(min(size, 4096))
            if name == b"fmt ":
                form = body
            elif len(body) >= 16:
                long_size = int.from_bytes(body[8:16], "little")
        place += 8 + size + size % 2


def _after_chunks(file: Seekable, place: int, size: int) -> int | None:
    """The place after the chunks that follow samples, or None for the end of the file.

    A chunk that reaches beyond the file, because the file was cut off, is the end, too.
    """
    begun = place
    while place + 8 <= size:
        file.seek(place)
        head = file.read(12)
        name, length = struct.unpack("<4sI", head[:8])
        if name in STARTS and head[8:12] == b"WAVE":
            return place
        if head.startswith(TAGS):
            return None
        is_chunk = KNOWN_CHUNKS.fullmatch(name) or (
            re.fullmatch(rb"[A-Za-z0-9_ ]{4}", name) and place + 8 + length <= size
        )
        if not is_chunk:
            # Some writers leave out the padding after an odd number of bytes, and others add some.
            return _start_near(file, place) or (place if place == begun else None)
        place += 8 + length + length % 2
    return None


def _start_near(file: Seekable, place: int) -> int | None:
    """The start of a WAV file a byte before or after this place, or None."""
    for near in (place - 1, place + 1):
        file.seek(near)
        head = file.read(12)
        if head[:4] in STARTS and head[8:12] == b"WAVE":
            return near
    return None


def _header(form: bytes, num_bytes: int) -> bytes:
    """The header of a WAV file with this many bytes of samples."""
    told = min(num_bytes, 0xFFFFFFFF)
    riff = min(num_bytes + 20 + len(form) + len(form) % 2, 0xFFFFFFFF)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", len(form))
        + form
        + b"\0" * (len(form) % 2)
        + struct.pack("<4sI", b"data", told)
    )


class _Spliced:
    """A file that consists of a header and parts of another file."""

    def __init__(self, header: bytes, file: Seekable, extents: list[tuple[int, int]]) -> None:
        self._header, self._file, self._extents = header, file, extents
        self._size = len(header) + sum(length for _, length in extents)
        self._place = 0

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; no bytes at the end."""
        left = self._size - self._place if size < 0 else size
        pieces = []
        while left > 0 and (piece := self._read_piece(left)):
            pieces.append(piece)
            left -= len(piece)
            self._place += len(piece)
        return b"".join(pieces)

    def _read_piece(self, size: int) -> bytes:
        """Up to `size` bytes out of one extent."""
        place = self._place - len(self._header)
        if place < 0:
            return self._header[self._place : self._place + size]
        for start, length in self._extents:
            if place < length:
                self._file.seek(start + place)
                return self._file.read(min(size, length - place))
            place -= length
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to the offset, and return the new position."""
        place = offset + (0, self._place, self._size)[whence]
        if place < 0:
            raise ValueError("before the file's start")
        self._place = place
        return place

    def tell(self) -> int:
        """The position in the file."""
        return self._place


class WavPipe:
    """A WAV file while it arrives: all samples, under a header that does not count them.

    A library reads the header first. Bytes after the samples show only at their end, when a new
    header comes too late. So this class counts the samples itself.
    """

    def __init__(self, pipe: Pipe, first: WavPart, name: str) -> None:
        """first: the facts in the header. name: of the recording, for messages."""
        self._pipe, self._name, self._form = pipe, name, first.form
        self._num_told = self._num_left = first.told or 0
        self._is_odd = self._num_told % 2 == 1
        self._goes_on, self._is_over = first.told is None, False
        self._said: set[str] = set()
        pipe.read(first.start)
        self._held = _header(first.form, 0xFFFFFFFF)

    @property
    def claimed_s(self) -> float:
        """The length of the sound by all headers so far."""
        return self._num_told / WavPart(self._form, 0, None).bytes_per_s

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; no bytes at the end."""
        if not self._held and not self._goes_on and not self._num_left and not self._is_over:
            self._look_further()
        if self._held:
            taken, self._held = self._held[:size], self._held[size:]
            return taken
        if self._is_over:
            return b""
        data = self._pipe.read(size if self._goes_on else min(size, self._num_left))
        self._num_left -= len(data)
        self._is_over = not data
        return data

    def _look_further(self) -> None:
        """Find sound after the samples. This skips other chunks."""
        taken = self._take(12)
        if self._is_odd and taken[:4] not in STARTS:  # padding, which some leave out
            taken = taken[1:] + self._take(1)
        while len(taken) == 12:
            name, size = struct.unpack("<4sI", taken[:8])
            if name in STARTS and taken[8:] == b"WAVE":
                self._begin_next(taken)
                return
            if taken.startswith(TAGS):
                break
            if not KNOWN_CHUNKS.fullmatch(name) or size > LONGEST_CHUNK:
                self._held, self._goes_on = taken, True
                self._say("more sound follows than its header counts: ds2 reads all of it")
                return
            self._take(max(0, size + size % 2 - 4))
            taken = self._take(12)
        self._is_over = True

    def _begin_next(self, head: bytes) -> None:
        """Read the header of another WAV file, and go on with its samples if they fit."""
        while len(head) < LONGEST_CHUNK:
            part = _part_at(Seekable(io.BytesIO(head)), 0)
            if part is not None and part.form[:16] == self._form[:16]:
                self._num_left, self._goes_on = part.told or 0, part.told is None
                self._num_told += self._num_left
                self._is_odd = self._num_left % 2 == 1
                self._say("several recordings follow one another in this file: ds2 reads all")
                return
            if part is not None or not (more := self._take(1)):
                break
            head += more
        self._is_over = True
        self._say("a recording of another form follows in this file: ds2 leaves it out")

    def _take(self, size: int) -> bytes:
        """This many bytes, or fewer at the end."""
        pieces = []
        while size > 0 and (piece := self._pipe.read(min(size, 1 << 16))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s: %s", self._name, text)


def wav_pipe(pipe: Pipe, head: bytes, name: str) -> WavPipe | None:
    """A pipe with a WAV file that has a length, or with an RF64 file; None for others.

    Other files end with the pipe, and FFmpeg reads them so.
    """
    first = _part_at(Seekable(io.BytesIO(head)), 0)
    if first is None or first.tag not in PLAIN or (first.told is None and not first.is_long):
        return None
    return WavPipe(pipe, first, name)
