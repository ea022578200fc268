"""What headers say and the libraries that read recordings do not: above all, how long they are.

A file cut off in copying still holds the length it had; a recogniser that is silent about the
rest would pass half a recording off as the whole.
"""

import re

from ds2.audio.sources import Seekable

UNKNOWN_LENGTH = 0x7FFF0000  # bytes; writers of pipes put this or more where they cannot know
OGG_LARGEST_PAGE = 65_307  # bytes


def claimed_ratio(log: str) -> float:
    """What the header claims over what is there, from libsndfile's log of opening a file.

    libsndfile reads a truncated WAV, AIFF, AU, W64 or RF64 file as if it were whole, but notes
    "data : 32000 (should be 12000)". 1 where it notes nothing.
    """
    told = re.search(
        r"\b(?:data|SSND|Data Size|[rR]iff(?: size)?) *: (\d+) \(should be (\d+)\)", log
    )
    if told and int(told[2]) and int(told[1]) < UNKNOWN_LENGTH:
        return int(told[1]) / int(told[2])
    return 1.0


def ogg_end(file: Seekable) -> int:
    """The sample at which the last page of an Ogg file, even half a page, says that it ends.

    0 if it does not, or if the recording was cut out of a longer stream: its pages then
    count from that stream's start; or if it holds several streams, which count each in its way.
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
    """How many streams begin at the start of an Ogg file: a film's picture is one of them."""
    return sum(
        head[match.start() + 5] & 2 > 0
        for match in re.finditer(b"OggS\0", head)
        if match.start() + 5 < len(head)
    )


def _pages(data: bytes) -> list[tuple[int, int]]:
    """The stream of each Ogg page that begins in the data, and where its last packet ends."""
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
    """Where another FLAC file begins in a file of several, which libsndfile passes over; 0: none.

    Leaves the file at its beginning.
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
    """Whether a WAV file holds MPEG sound, such as MP3, by the format's tag."""
    form = head.find(b"fmt ")
    return head[:4] == b"RIFF" and form > 0 and head[form + 8 : form + 10] in (b"P\0", b"U\0")


def mp3_tells_length(head: bytes) -> bool:
    """Whether an MP3 file begins with a count of its frames (a "Xing" or "Info" frame).

    Without one, FFmpeg estimates the duration from the size and the first bit rate.
    """
    return b"Xing" in head or b"Info" in head
