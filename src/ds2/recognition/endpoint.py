"""The end of a segment of live speech: Kaldi's rules, on the model's text and on the voice."""

import math
from dataclasses import dataclass
from typing import Literal

Reason = Literal["silence", "pause", "length"]


@dataclass(frozen=True)
class EndpointRules:
    """The silences and the length that end a segment. The defaults are Kaldi's."""

    silence_s: float = 2.4  # a silence without any speech before it
    pause_s: float = 1.2  # a silence after speech
    longest_s: float = 20.0  # the longest segment, with or without a pause
    voice_threshold: float = 0.5  # the least probability from the detector that counts as a voice

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
        """The reason why a segment is over; None if it is not over.

        segment_s: the length of the segment so far.
        silence_s: the time since the model has last found text.
        no_voice_s: the time since the detector has last found a voice; None: there is no detector.
            With a detector, a pause needs silence from both, so that the rules do not cut a voice
            that the model cannot read. Without a voice for `self.silence_s`, any text comes from
            noise: that ends the segment, too.
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
