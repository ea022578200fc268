"""Where a segment of live speech ends: Kaldi's rules."""

import math
from dataclasses import dataclass
from typing import Literal

Reason = Literal["silence", "pause", "length"]


@dataclass(frozen=True)
class EndpointRules:
    """How long a silence, or a segment, is long enough; the defaults are Kaldi's."""

    silence_s: float = 2.4  # with nothing said
    pause_s: float = 1.2  # after speech
    longest_s: float = 20.0  # a segment, pause or not

    def __post_init__(self) -> None:
        for name in ("silence_s", "pause_s", "longest_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: must be a number of seconds above 0, not {value}")

    def reason_to_end(
        self, segment_s: float, silence_s: float, *, has_speech: bool
    ) -> Reason | None:
        """Why a segment so long, with so much silence at its end, is over; None if it is not."""
        if has_speech and silence_s >= self.pause_s:
            return "pause"
        if not has_speech and silence_s >= self.silence_s:
            return "silence"
        return "length" if segment_s >= self.longest_s else None
