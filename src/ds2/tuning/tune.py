"""Tune a beam search from end to end: weights, beam width, confidence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ds2.ctc.settings import BeamSettings
from ds2.evaluation.evaluation import Rate
from ds2.ngram.corpus import Report
from ds2.ngram.model import NgramModel
from ds2.tuning.calibration import Calibration, calibrate
from ds2.tuning.dev_set import DevSet
from ds2.tuning.search import Search, search_with_priors
from ds2.tuning.widths import WIDTHS, WidthTrial, narrowest, try_widths


@dataclass(frozen=True)
class Tuned:
    """The settings that tuning found, and the steps to them."""

    settings: BeamSettings
    greedy: Rate  # without beam and language model
    search: Search  # with the best weight of the priors
    others: tuple[Search, ...]  # with other weights, the best first
    widths: tuple[WidthTrial, ...]
    chosen: WidthTrial
    calibration: Calibration


def tune(
    dev: DevSet,
    lm: NgramModel,
    first: BeamSettings,
    *,
    num_trials: int = 12,
    widths: Sequence[int] = WIDTHS,
    num_threads: int = 1,
    report: Report,
) -> Tuned:
    """Fit the settings of the beam search to a development set.

    first: the first settings; the search for alpha, beta and unknown words uses their beam.
    num_trials: the largest number of decodings with each weight of the priors.
    """
    first = replace(first, confidence_slope=1.0, confidence_offset=0.0)
    report("decoding greedily", None)
    greedy = dev.greedy()
    found, *others = search_with_priors(
        dev, lm, first, num_trials=num_trials, num_threads=num_threads, report=report
    )
    tried = try_widths(
        dev, lm, found.best.settings, widths=widths, num_threads=num_threads, report=report
    )
    chosen = narrowest(tried)
    report("calibrating", None)
    calibration = calibrate(chosen.posteriors, chosen.is_right)
    kept = chosen.trial.settings
    settings = replace(
        kept,
        label_priors=kept.label_priors if kept.prior_weight else (),
        confidence_slope=round(calibration.kept.slope, 4),
        confidence_offset=round(calibration.kept.offset, 4),
    )
    return Tuned(settings, greedy, found, tuple(others), tuple(tried), chosen, calibration)
