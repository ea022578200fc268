"""The facts about a recording before it is read, and the errors that all readers share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ds2.audio.resampling import Waveform
from ds2.audio.tracks import Track
from ds2.errors import InputError

MISSING_S = 0.25  # headers of lossy formats are wrong by less than this
NOT_AUDIO = "not a recording that ds2 can read: convert it first, with: ffmpeg -i FILE out.wav"


@dataclass(frozen=True)
class AudioInfo:
    """The facts in a recording's header."""

    sample_rate_hz: int
    num_channels: int
    duration_s: float | None  # in a film, from its start to the end of this track; an estimate for
    # bare MP3 and AAC; None if only decoding shows it
    format: str  # the container: "WAV", "FLAC", "OGG", "MP3", "MOV", "MATROSKA"
    encoding: str  # of the samples: "PCM_16", "VORBIS", "aac"
    missing_s: float = 0.0  # of a file that is cut off: what the header claims beyond `duration_s`


class Decoder(Protocol):
    """An opened recording."""

    info: AudioInfo

    def tell(self) -> None:
        """Log facts that are good to know before reading, such as the choice of the track."""

    def tracks(self) -> tuple[Track, ...]:
        """All sound tracks. This reads packets to find their starts, and ends the decoder."""

    def pieces(self, start: int, stop: int | None) -> Iterator[Waveform]:
        """Samples start to stop, (N, C), at the recording's own rate, unchecked."""


def cut_short(name: str, there_s: float, claimed_s: float) -> InputError:
    """The error of a file that is shorter than it claims."""
    return InputError(
        f"{name}: truncated or damaged: {there_s:.2f} s of {claimed_s:.2f} s can be read:"
        f" copy the file again, or ask for the readable part only"
    )


def past_end(name: str, start_s: float, there_s: float) -> InputError:
    """The error of a part that begins after the end, or of a file without samples."""
    if not there_s:
        return InputError(f"{name}: holds no samples: record or copy it again")
    return InputError(f"{name}: offset {start_s:.2f} s is past its end: it lasts {there_s:.2f} s")
