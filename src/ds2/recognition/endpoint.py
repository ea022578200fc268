"""Where a segment of live speech ends: Kaldi's rules, by what the model reads and by the voice."""

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
    voice_threshold: float = 0.5  # a detector's probability from which on there is a voice

    def __post_init__(self) -> None:
        for name in ("silence_s", "pause_s", "longest_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: must be a number of seconds above 0, not {value}")
        if not 0 <= self.voice_threshold <= 1:
            raise ValueError(f"voice_threshold: must be from 0 to 1, not {self.voice_threshold}")

    def reason_to_end(
        self,
        segment_s: float,
        silence_s: float,
        *,
        has_speech: bool,
        no_voice_s: float | None = None,
    ) -> Reason | None:
        """Why a segment so long, with so much silence at its end, is over; None if it is not.

        silence_s: since the model has read something.
        no_voice_s: since there was a voice; None: nobody listens for one. Then a pause is one only
            where both are silent, so a voice that the model cannot read is not cut. And where
            there has been no voice for `silence_s`, the model reads noise: that ends it, too.
        """
        if no_voice_s is not None:
            if no_voice_s >= self.silence_s and segment_s >= self.silence_s:
                return "pause" if has_speech else "silence"
            silence_s = min(silence_s, no_voice_s)
        if has_speech and silence_s >= self.pause_s:
            return "pause"
        if not has_speech and silence_s >= self.silence_s:
            return "silence"
        return "length" if segment_s >= self.longest_s else None
