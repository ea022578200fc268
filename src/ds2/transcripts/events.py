"""The events of a live stream while somebody speaks."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ds2.transcripts.transcript import Transcript


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Somebody began to speak. It comes once in a segment."""

    time_s: float  # from the start of the stream


@dataclass(frozen=True, slots=True)
class Partial:
    """The text of the current segment so far.

    stable: text that more audio cannot change; later partials and the final begin with it.
    unstable: the text after it, which may still change.
    """

    stable: str
    unstable: str

    @property
    def text(self) -> str:
        """The stable and the unstable text."""
        return self.stable + self.unstable


@dataclass(frozen=True, slots=True)
class Final:
    """A complete segment; the times of its words count from the start of the stream."""

    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The segment ends here, because the speaker paused or spoke for long.

    reason: "silence": nobody spoke; "pause": a pause after speech; "length": the segment became
    too long; "request": the caller asked for the end.
    """

    time_s: float
    reason: Literal["silence", "pause", "length", "request"]


Event: TypeAlias = SpeechStart | Partial | Final | Endpoint
"""A segment has SpeechStart, any Partials, Final, Endpoint; the last of a stream no Endpoint."""
