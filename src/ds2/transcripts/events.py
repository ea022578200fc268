"""What a live stream tells while somebody speaks."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ds2.transcripts.transcript import Transcript


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Somebody began to speak; once in a segment."""

    time_s: float  # from the start of the stream


@dataclass(frozen=True, slots=True)
class Partial:
    """What has been recognised of the segment under way.

    stable: text that no more audio changes, and that later partials and the final begin with.
    unstable: what comes after it, as far as it goes now.
    """

    stable: str
    unstable: str

    @property
    def text(self) -> str:
        """Both."""
        return self.stable + self.unstable


@dataclass(frozen=True, slots=True)
class Final:
    """A segment that is done; the times of its words are from the start of the stream."""

    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The speaker has paused, or has spoken for long: the segment ends here.

    reason: "silence", with nothing said; "pause", after speech; "length", the segment grew too
    long; "request", the caller asked for it.
    """

    time_s: float
    reason: Literal["silence", "pause", "length", "request"]


Event: TypeAlias = SpeechStart | Partial | Final | Endpoint
"""In a segment: SpeechStart, any Partials, Final, Endpoint; at the end of a stream no Endpoint."""
