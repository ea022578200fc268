"""Choose the beam width, and collect the posteriors for the calibration."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.hypothesis import Hypothesis
from ds2.ctc.settings import BeamSettings
from ds2.evaluation.metrics import align, units
from ds2.ngram.corpus import Report
from ds2.ngram.model import NgramModel
from ds2.recognition.segments import words_of
from ds2.tuning.dev_set import DevSet, Trial

WIDTHS = (1, 10, 50, 100, 200, 500)


@dataclass(frozen=True)
class WidthTrial:
    """The development set, decoded with one beam width, and the posteriors of its words."""

    trial: Trial
    posteriors: tuple[tuple[float, ...], ...]  # for each utterance, for each recognised word
    is_right: tuple[tuple[bool, ...], ...]

    @property
    def width(self) -> int:
        return self.trial.settings.beam_width


def try_widths(
    dev: DevSet,
    lm: NgramModel,
    settings: BeamSettings,
    *,
    widths: Sequence[int] = WIDTHS,
    num_threads: int,
    report: Report,
) -> list[WidthTrial]:
    """Decode with a beam of each width."""
    tried = []
    for width in widths:
        wide = replace(settings, beam_width=width)
        search = BeamSearch(dev.alphabet, wide, lm)
        start_s = time.perf_counter()
        best = [
            hypotheses[0]
            for hypotheses in dev.decode(
                search, num_threads=num_threads, stage=f"beam {width}", report=report
            )
        ]
        elapsed_s = time.perf_counter() - start_s
        judged = [
            _judged(dev, hypothesis, reference)
            for hypothesis, reference in zip(best, dev.references, strict=True)
        ]
        posteriors, is_right = zip(*judged, strict=True)
        tried.append(WidthTrial(Trial(wide, dev.counted(best), elapsed_s), posteriors, is_right))
    return tried


def _judged(
    dev: DevSet, hypothesis: Hypothesis, reference: Sequence[str]
) -> tuple[tuple[float, ...], tuple[bool, ...]]:
    """The posterior of each recognised word, and whether it is right."""
    words = words_of(hypothesis.tokens, dev.alphabet, 1.0, math.inf)
    heard = [
        (unit, word.confidence)
        for word in words
        for unit in units(word.text, dev.alphabet.language)
    ]
    alignment = align(reference, [unit for unit, _ in heard])
    is_right = [token.edit == "correct" for token in alignment.tokens if token.hypothesis]
    return tuple(confidence for _, confidence in heard), tuple(is_right)


def narrowest(tried: Sequence[WidthTrial]) -> WidthTrial:
    """The narrowest beam that is as good as the widest, as far as the set can show.

    It may have more errors, but by at most one standard error of the difference, utterance by
    utterance (the rule of Breiman et al., 1984, for the simplest sufficient model).
    """
    ordered = sorted(tried, key=lambda item: item.width)
    widest = _errors(ordered[-1])
    for item in ordered:
        more = _errors(item) - widest
        if more.sum() <= more.std() * math.sqrt(len(more)):
            return item
    return ordered[-1]


def _errors(tried: WidthTrial) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([count.num_errors for count in tried.trial.counts], np.int64)
