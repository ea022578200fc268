"""Live text on a terminal: the current segment changes in place, finished segments stay."""

import argparse
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from ds2.audio import Channels
    from ds2.recognition.recognizer import Recognizer
    from ds2.recognition.voice import VoiceDetector
    from ds2.transcripts.events import Event, Partial

BLOCK_S = 0.1
"""Seconds of a recording that each step plays."""
DIM, PLAIN, ERASE_LINE = "\x1b[2m", "\x1b[0m", "\r\x1b[2K"


def add_vad(parser: argparse.ArgumentParser) -> None:
    """Add the option that turns on a voice-activity detector."""
    parser.add_argument(
        "--vad",
        action="store_true",
        help="find the ends of segments with a voice-activity detector, too; needs the extra vad",
    )


def detector(args: argparse.Namespace) -> "VoiceDetector | None":
    """The detector that --vad asks for. Raises InputError if it is not installed."""
    if not args.vad:
        return None
    from ds2.recognition.voice import VoiceDetector

    return VoiceDetector()


class LiveText:
    """Shows events: a line for each segment. A terminal also shows the current segment.

    The part that may still change is dim. A line wider than the terminal shows its end.
    """

    def __init__(self, num_columns: int | None) -> None:
        """num_columns: width of the terminal; None without a terminal, to show only finals."""
        self._num_columns = num_columns
        self._has_line = False

    def show(self, events: "Iterable[Event]") -> None:
        """Show new events."""
        from ds2.transcripts.events import Endpoint, Final, Partial

        for event in events:
            if isinstance(event, Final) and event.transcript.text:
                self._erase()
                print(event.transcript.text, flush=True)
            elif isinstance(event, Partial) and self._num_columns:
                self._erase()
                self._show_partial(event, self._num_columns)
            elif isinstance(event, Endpoint):
                self._erase()

    def _erase(self) -> None:
        if self._has_line:
            print(ERASE_LINE, end="", flush=True)
            self._has_line = False

    def _show_partial(self, partial: "Partial", num_columns: int) -> None:
        cut = max(0, len(partial.text) + 1 - num_columns)
        stable = partial.stable[cut:]
        unstable = partial.unstable[max(0, cut - len(partial.stable)) :]
        print(f"{stable}{DIM}{unstable}{PLAIN}", end="", flush=True)
        self._has_line = True


def live_text() -> LiveText:
    """A LiveText that fits standard output."""
    return LiveText(shutil.get_terminal_size().columns if sys.stdout.isatty() else None)


def play(
    recognizer: "Recognizer",
    recording: Path | BinaryIO,
    pace: float,
    voice: "VoiceDetector | None" = None,
    channels: "Channels" = "mix",
    *,
    track: str | None = None,
) -> None:
    """Show a recording's text as if somebody spoke it now.

    pace: seconds of audio for each second; 0 does not wait. track: as in `read_audio`.
    Raises InputError.
    """
    from ds2.audio import SAMPLE_RATE_HZ, audio_blocks
    from ds2.recognition.endpoint import EndpointRules

    text = live_text()
    streams = recognizer.bundle.model.streaming
    stream = recognizer.stream(endpoints=EndpointRules() if streams else None, voice=voice)
    start_s, heard_s = time.monotonic(), 0.0
    for block in audio_blocks(recording, block_s=BLOCK_S, track=track, channels=channels):
        heard_s += len(block) / SAMPLE_RATE_HZ
        if pace:
            time.sleep(max(0.0, start_s + heard_s / pace - time.monotonic()))
        text.show(stream.feed(block))
    stream.finish()
    text.show(stream.take_events())
