"""Reports segments of a recording as soon as no more audio changes them."""

from collections.abc import Callable
from typing import TypeAlias

from ds2.recognition.segments import Segments
from ds2.transcripts.transcript import Segment, Transcript

OnSegment: TypeAlias = Callable[[Segment], object]

LEAST_S = 4.0
"""The least seconds of audio between two looks at the words."""
GROWTH = 1 / 50
"""The least share of the audio so far between two looks: to read all words takes ever longer."""


class SegmentTeller:
    """Calls a function with each segment of a transcript, in order, as early as possible.

    The segments are those of the whole transcript, which `stream.finish()` returns in the end.
    """

    def __init__(self, segments: Segments, on_segment: OnSegment) -> None:
        self._segments = segments
        self._on_segment = on_segment
        self._next_look_s = LEAST_S
        self._num_told = 0  # words

    def look(self, heard_s: float) -> None:
        """Report new segments, if it is time to look. heard_s: the seconds of audio so far."""
        if heard_s < self._next_look_s:
            return
        self._next_look_s = heard_s + max(LEAST_S, heard_s * GROWTH)
        words = self._segments.stable_words()[self._num_told :]
        language = self._segments.language
        for segment in Transcript(tuple(words), heard_s, language).segments()[:-1]:
            self._tell(segment)

    def finish(self, transcript: Transcript) -> None:
        """Report the rest of the transcript."""
        rest = Transcript(
            transcript.words[self._num_told :], transcript.duration_s, transcript.language
        )
        for segment in rest.segments():
            self._tell(segment)

    def _tell(self, segment: Segment) -> None:
        self._num_told += len(segment.words)
        self._on_segment(segment)
