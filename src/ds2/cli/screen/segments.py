"""Formats the segments of a transcript for a terminal, a line with times for each."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ds2.transcripts.transcript import Segment


def shows_segments() -> bool:
    """Whether standard output is a terminal, where somebody reads the text as it comes."""
    return sys.stdout.isatty()


def timed_line(segment: "Segment") -> str:
    """A line with times from the recording's start: [00:01.20 --> 00:03.45]  hello."""
    return f"[{_clock(segment.start_s)} --> {_clock(segment.end_s)}]  {segment.line}"


def _clock(time_s: float) -> str:
    """Minutes and seconds, with hours if there are any."""
    minutes, hundredths = divmod(round(100 * time_s), 6000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02d}:{hundredths / 100:05.2f}"
    return f"{hours}:{clock}" if hours else clock
