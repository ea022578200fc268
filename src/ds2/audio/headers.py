"""Facts in headers that the audio libraries do not give, above all the length of a recording.

A file that was cut off in copying still has its old length in the header. A recogniser must report
this, or half a recording looks like the whole.
"""

import re

from ds2.audio.sources import Seekable

UNKNOWN_LENGTH = (
    0x7FFF0000  # bytes; writers into pipes do not know the length, and write this or more
)
OGG_LARGEST_PAGE = 65_307  # bytes


def claimed_ratio(log: str) -> float:
    """The length in the header divided by the length of the file, from libsndfile's log.

    libsndfile reads a truncated WAV, AIFF, AU, W64 or RF64 file as if it were whole. But its log
    then says "data : 32000 (should be 12000)". Without such a line this is 1.
    """
    told = re.search(
        r"\b(?:data|SSND|Data Size|[rR]iff(?: size)?) *: (\d+) \(should be (\d+)\)", log
    )
    if told and int(told[2]) and int(told[1]) < UNKNOWN_LENGTH:
        return int(told[1]) / int(told[2])
    return 1.0


def ogg_end(file: Seekable) -> int:
    """The number of samples to the end, as the last page of an Ogg file gives it.

    Half a page is enough. 0 if the page does not say, or if the file holds several streams. 0 also
    for a part of a longer stream, because its pages count from the start of that stream.
    Leaves the file at its beginning.
    """
    first = _pages(file.read(2 * OGG_LARGEST_PAGE))
    size = file.seek(0, 2)
    file.seek(max(0, size - 2 * OGG_LARGEST_PAGE))
    last = _pages(file.read())
    file.seek(0)
    if len({stream for stream, _ in first + last}) != 1:
        return 0
    first_ends, last_ends = ([end for _, end in pages if end > 0] for pages in (first, last))
    return last_ends[-1] if first_ends and last_ends and first_ends[0] < 30 * 48_000 else 0


def num_ogg_streams(head: bytes) -> int:
    """The number of streams that begin at the start of an Ogg file. A film's picture is one."""
    return sum(
        head[match.start() + 5] & 2 > 0
        for match in re.finditer(b"OggS\0", head)
        if match.start() + 5 < len(head)
    )


def _pages(data: bytes) -> list[tuple[int, int]]:
    """The stream and the end of the last packet of each Ogg page that begins in the data."""
    starts = [match.start() for match in re.finditer(b"OggS\0", data)]
    return [
        (
            int.from_bytes(data[start + 14 : start + 18], "little"),
            int.from_bytes(data[start + 6 : start + 14], "little", signed=True),
        )
        for start in starts
        if start + 18 <= len(data)
    ]


def second_flac(file: Seekable) -> int:
    """The byte where a second FLAC file begins in the same file; 0 if there is none.

    libsndfile ignores it. Leaves the file at its beginning.
    """
    start, place = b"fLaC\0\0\0\x22", 1
    file.seek(place)
    found, held = 0, b""
    while not found and (data := file.read(1 << 20)):
        index = (held + data).find(start)
        found = place - len(held) + index if index >= 0 else 0
        place += len(data)
        held = data[1 - len(start) :]
    file.seek(0)
    return found


def is_mpeg_wav(head: bytes) -> bool:
    """Whether a WAV file holds MPEG sound, such as MP3, by its format tag."""
    form = head.find(b"fmt ")
    return head[:4] == b"RIFF" and form > 0 and head[form + 8 : form + 10] in (b"P\0", b"U\0")


def mp3_tells_length(head: bytes) -> bool:
    """Whether an MP3 file begins with a count of its frames (a "Xing" or "Info" frame).

    Without one, FFmpeg estimates the duration from the size and the first bit rate.
    """
    return b"Xing" in head or b"Info" in head
