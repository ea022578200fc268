"""Segments of a transcript on a terminal: a line each, with their times."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ds2.transcripts.transcript import Segment


def shows_segments() -> bool:
    """Whether somebody reads the text as it comes: standard output is a terminal."""
    return sys.stdout.isatty()


def timed_line(segment: "Segment") -> str:
    """The times from the recording's start, and the text: [00:01.20 --> 00:03.45]  hello."""
    return f"[{_clock(segment.start_s)} --> {_clock(segment.end_s)}]  {segment.line}"


def _clock(time_s: float) -> str:
    """Minutes and seconds, and hours if there are any."""
    minutes, hundredths = divmod(round(100 * time_s), 6000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02d}:{hundredths / 100:05.2f}"
    return f"{hours}:{clock}" if hours else clock
