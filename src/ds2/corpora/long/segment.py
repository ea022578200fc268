"""Cuts long aligned recordings into utterances, as section 4.1 of the paper does.

A cut is between two words, where the model reads nothing for long enough. Speech that the text
lacks goes into no utterance: the recording is split around it. In each part, this finds utterances
that are neither too short nor too long, with the longest pauses at the cuts.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from ds2.corpora.long.align import AlignedRecording, SpokenWord
from ds2.manifest import Utterance
from ds2.text.spacing import join_words


@dataclass(frozen=True)
class CutRules:
    """The rules for cuts."""

    shortest_s: float = 1.0
    longest_s: float = 20.0
    pause_s: float = 0.3  # shortest silence between two words for a cut
    margin_s: float = 0.3  # most silence to keep on each side of an utterance
    extra_labels: int = 4  # frames with labels from which extra speech splits a recording

    def __post_init__(self) -> None:
        if not 0 < self.shortest_s < self.longest_s:
            raise ValueError(
                f"shortest_s: must be above 0 and below longest_s ({self.longest_s:g}), "
                f"not {self.shortest_s:g}"
            )
        for name in ("pause_s", "margin_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: must be 0 or more, not {getattr(self, name)}")
        if self.extra_labels < 1:
            raise ValueError(f"extra_labels: must be at least 1, not {self.extra_labels}")


@dataclass(frozen=True)
class Segmentation:
    """The utterances of a recording, and the numbers of other words."""

    utterances: tuple[Utterance, ...]
    num_words: int  # words in utterances
    num_missing: int  # words of the text that nobody said
    num_left: int  # words that were said, but are in no utterance

    @property
    def duration_s(self) -> float:
        """Seconds of all utterances together."""
        return math.fsum(utterance.duration_s or 0.0 for utterance in self.utterances)


class _Gap(NamedTuple):
    """The gap between two words, before the first word, or after the last."""

    pause_s: float  # 0 for a gap with extra speech, which is a break and not a pause
    is_break: bool
    finish_s: float  # end of an utterance before the gap
    begin_s: float  # start of an utterance after the gap


def segment(recording: AlignedRecording, rules: CutRules) -> Segmentation:
    """Cut an aligned recording into utterances."""
    spoken = [word for word in recording.words if isinstance(word, SpokenWord)]
    gaps = _gaps(spoken, recording, rules)
    breaks = [index for index, gap in enumerate(gaps) if gap.is_break]
    runs = [
        run
        for first, last in pairwise(sorted({0, *breaks, len(spoken)}))
        for run in _best_cuts(gaps, first, last, rules)
    ]
    utterances = tuple(
        _utterance(recording, spoken[first:last], gaps[first].begin_s, gaps[last].finish_s)
        for first, last in runs
    )
    num_words = sum(last - first for first, last in runs)
    num_missing = len(recording.words) - len(spoken)
    return Segmentation(utterances, num_words, num_missing, len(spoken) - num_words)


def _gaps(spoken: Sequence[SpokenWord], recording: AlignedRecording, rules: CutRules) -> list[_Gap]:
    """The gaps of a recording, one more than its words."""
    extra = [item for item in recording.extra if item.num_labels >= rules.extra_labels]
    places = [item.start_s for item in extra]
    ends = [0.0, *(word.end_s for word in spoken)]
    starts = [*(word.start_s for word in spoken), recording.duration_s]
    gaps = []
    for end_s, start_s in zip(ends, starts, strict=True):
        inside = extra[bisect_left(places, end_s) : bisect_left(places, start_s)]
        middle_s = (end_s + max(end_s, start_s)) / 2
        quiet_until_s = inside[0].start_s if inside else middle_s
        quiet_from_s = min(start_s, inside[-1].end_s) if inside else middle_s
        gaps.append(
            _Gap(
                pause_s=0.0 if inside else max(0.0, start_s - end_s),
                is_break=bool(inside),
                finish_s=min(end_s + rules.margin_s, quiet_until_s),
                begin_s=max(start_s - rules.margin_s, quiet_from_s),
            )
        )
    return gaps


def _best_cuts(
    gaps: Sequence[_Gap], first: int, last: int, rules: CutRules
) -> list[tuple[int, int]]:
    """The best cuts of the words first..last-1: (first, last) of each utterance.

    This leaves out the words between two cuts that are too far apart or too near. It chooses the
    cuts that leave out the fewest seconds, and among these the ones with the best pauses.
    """
    places = [first]
    places += (i for i in range(first + 1, last) if gaps[i].pause_s >= rules.pause_s)
    places.append(last)
    best = [(0.0, 0.0)]  # for each place: seconds lost and worth of the best way there
    origin = [0]
    for here, place in enumerate(places[1:], 1):
        worth = _worth(gaps[place].pause_s)
        options = []
        for before in range(here - 1, -1, -1):
            seconds = gaps[place].finish_s - gaps[places[before]].begin_s
            if seconds > rules.longest_s and before < here - 1:
                break
            lost, value = best[before]
            options.append(
                ((lost + (0.0 if _fits(seconds, rules) else seconds), value - worth), before)
            )
        score, before = min(options)
        best.append(score)
        origin.append(before)
    cuts = [len(places) - 1]
    while cuts[-1] > 0:
        cuts.append(origin[cuts[-1]])
    runs = pairwise(places[index] for index in reversed(cuts))
    return [(a, b) for a, b in runs if _fits(gaps[b].finish_s - gaps[a].begin_s, rules)]


def _fits(seconds: float, rules: CutRules) -> bool:
    return rules.shortest_s <= seconds <= rules.longest_s


def _worth(pause_s: float) -> float:
    """The worth of a cut in a pause. It is positive from half a second on."""
    return min(pause_s, 1.0) - 0.5


def _utterance(
    recording: AlignedRecording, words: Sequence[SpokenWord], begin_s: float, finish_s: float
) -> Utterance:
    source = recording.utterance
    log_prob = math.fsum(word.log_prob for word in words)
    confidence = math.fsum(word.confidence for word in words) / len(words)
    return replace(
        source,
        offset_s=round(source.offset_s + begin_s, 3),
        duration_s=round(finish_s - begin_s, 3),
        text=join_words((word.text for word in words), recording.language),
        language=recording.language,
        extra={
            **source.extra,
            "ctc_cost": round(-log_prob, 3),
            "confidence": round(confidence, 4),
        },
    )
