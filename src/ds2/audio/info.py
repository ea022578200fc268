"""What readers tell of a recording before they read it, and the errors that they share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ds2.audio.resampling import Waveform
from ds2.audio.tracks import Track
from ds2.errors import InputError

MISSING_S = 0.25  # headers of lossy formats are off by less than this
NOT_AUDIO = "not a recording that can be read: convert it, say with: ffmpeg -i FILE out.wav"


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header says of it."""

    sample_rate_hz: int
    num_channels: int
    duration_s: float | None  # of a film, from its start to the end of this track; an estimate for
    # bare MP3 and AAC; None if only decoding would tell
    format: str  # the container: "WAV", "FLAC", "OGG", "MP3", "MOV", "MATROSKA"
    encoding: str  # of the samples: "PCM_16", "VORBIS", "aac"
    missing_s: float = 0.0  # what the header claims beyond `duration_s`, where the file is cut off


class Decoder(Protocol):
    """An opened recording."""

    info: AudioInfo

    def tell(self) -> None:
        """Say what is good to know before it is read, such as which of several tracks it is."""

    def tracks(self) -> tuple[Track, ...]:
        """All sound tracks; where each begins is looked up in the packets. Ends the decoder."""

    def pieces(self, start: int, stop: int | None) -> Iterator[Waveform]:
        """(N, C) samples start to stop, at the recording's own rate, unchecked."""


def cut_short(name: str, there_s: float, claimed_s: float) -> InputError:
    """The error of a file that is shorter than it claims."""
    return InputError(
        f"{name}: truncated or damaged: {there_s:.2f} s of {claimed_s:.2f} s can be read:"
        f" copy the file again, or ask only for what is there"
    )


def past_end(name: str, start_s: float, there_s: float) -> InputError:
    """The error of a part that begins after the end, or of a file without samples."""
    if not there_s:
        return InputError(f"{name}: holds no samples")
    return InputError(f"{name}: offset {start_s:.2f} s is past its end: it lasts {there_s:.2f} s")
