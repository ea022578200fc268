"""`ds2 lm tune`: finds settings of the beam search that fit a development set."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.cli.bundle import add_copy
from ds2.cli.lm.queries import new_table
from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.screen.terminal import console, positive, progress
from ds2.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from ds2.evaluation.evaluation import Rate
    from ds2.model.bundle import Bundle
    from ds2.ngram.model import NgramModel
    from ds2.tuning.calibration import Judgement
    from ds2.tuning.dev_set import DevSet, Trial
    from ds2.tuning.tune import Tuned


def add_tune(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "tune",
        help="fit alpha, beta, beam width and confidences to a development set",
        description="Recognise a development set, and find the best weight of a language model "
        "(alpha), bonus for a word (beta), score of unknown words, weight of the labels' priors "
        "and beam width. Then calibrate the confidences of words. ds2 writes the language model "
        "and the settings into the bundle.",
    )
    parser.add_argument(
        "manifests",
        nargs="+",
        type=Path,
        metavar="DEV_MANIFEST",
        help="manifests of development utterances; never name a test set here",
    )
    parser.add_argument(
        "-m", "--model", required=True, metavar="MODEL", help="name or bundle to tune"
    )
    parser.add_argument(
        "--lm",
        type=Path,
        metavar="LM",
        help="language model: lm.bin or an ARPA file (default: the bundle's own)",
    )
    add_copy(parser)
    parser.add_argument(
        "--no-write", action="store_true", help="print the settings, and keep the bundle as it is"
    )
    parser.add_argument(
        "--trials",
        type=positive,
        default=12,
        metavar="N",
        help="most decodings of the set to find alpha and beta, for each weight of the priors; "
        "often fewer are enough (default: 12)",
    )
    add_jobs(parser)
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the error rates over alpha and beta into this file, such as .png (default: no)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to this file (default: none)"
    )
    parser.set_defaults(act=_tune)


def _tune(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from ds2.ctc.settings import BeamSettings
    from ds2.manifest import read_manifest
    from ds2.model.bundle_lm import check_writable
    from ds2.recognition.recognizer import Recognizer
    from ds2.tuning.dev_set import Outputs, hear, references_of
    from ds2.tuning.tune import tune

    bundle, source, lm = _load_models(args)
    utterances = [utterance for path in args.manifests for utterance in read_manifest(path)]
    references = references_of(utterances, bundle.alphabet)
    if not args.no_write:
        check_writable(bundle.path, args.output)
    _check_outputs(args.plot, args.json)
    # An earlier run chose the narrowest beam that is wide enough. It may hide better settings.
    first = replace(bundle.decoding or BeamSettings(), beam_width=BeamSettings().beam_width)
    recognizer = Recognizer(bundle, greedy=True)
    with Outputs(len(bundle.alphabet)) as outputs:
        with progress() as report:
            dev = hear(
                recognizer,
                utterances,
                references,
                outputs,
                num_threads=jobs_of(args),
                report=report,
            )
            tuned = tune(
                dev, lm, first, num_trials=args.trials, num_threads=jobs_of(args), report=report
            )
        _print(dev, lm, tuned)
    _write(args, bundle, source, dev, tuned)


def _load_models(args: argparse.Namespace) -> "tuple[Bundle, Path, NgramModel]":
    """The bundle, the language model's file and the language model. Raises InputError."""
    from ds2.model.bundle import find_bundle, load_bundle
    from ds2.ngram.model import NgramModel

    bundle = load_bundle(find_bundle(args.model), verify_lm_header=args.lm is None)
    source = args.lm or bundle.lm_path
    if source is None:
        raise InputError(f"{bundle.path}: holds no language model: name one with --lm")
    lm = NgramModel.load(source)
    lm.require(bundle.alphabet.word_unit, bundle.alphabet.language)
    lm.verify()
    return bundle, source, lm


def _check_outputs(plot: Path | None, figures: Path | None) -> None:
    """Raise InputError now for outputs that would fail after the work."""
    from ds2.evaluation.figure import check_figure
    from ds2.files import check_output

    if plot:
        check_figure(plot)
    if figures:
        check_output(figures)


def _print(dev: "DevSet", lm: "NgramModel", tuned: "Tuned") -> None:
    out = console()
    separator = " " if lm.unit == "word" else ""
    fit = lm.perplexity(separator.join(reference) for reference in dev.references)
    name = "WER" if lm.unit == "word" else "CER"
    share = 100 * fit.num_unknown / max(1, fit.num_words)
    _say(
        out,
        f"{len(dev.references)} utterances, {dev.duration_s / 3600:.2f} h, {fit.num_words:,} "
        f"{lm.unit}s, {share:.1f}% of them unknown to the language model; perplexity "
        f"{fit.excluding_unknown:.0f}",
    )
    table = new_table(
        "priors", "decodings", "alpha", "beta", "unknown", f"{name} %", "95% interval", "s"
    )
    searches = (tuned.search, *tuned.others)
    for found in sorted(searches, key=lambda each: each.best.settings.prior_weight):
        weight = f"{found.best.settings.prior_weight:g}"
        style = "bold" if found is tuned.search else None
        table.add_row(weight, str(len(found.trials)), *_row(found.best), style=style)
    out.print(table)
    table = new_table("beam", f"{name} %", "95% interval", "s", "x real time")
    for tried in tuned.widths:
        trial = tried.trial
        speed = f"{dev.duration_s / max(trial.elapsed_s, 1e-9):.0f}"
        style = "bold" if tried is tuned.chosen else None
        table.add_row(str(tried.width), *_row(trial)[3:], speed, style=style)
    out.print(table)
    _say(
        out,
        f"{name} greedy {tuned.greedy}, tuned {tuned.chosen.trial.rate}; by the texts found, "
        f"{100 * tuned.search.chosen_rate:.2f}% with settings chosen on the same utterances, "
        f"{100 * tuned.search.held_out_rate:.2f}% on others",
    )
    if tuned.chosen.trial.rate.rate >= tuned.greedy.rate:
        _say(out, "This language model does not help on this set.")
    _print_confidence(out, tuned)


def _say(out: "Console", text: str) -> None:
    out.print(text, soft_wrap=True, highlight=False, markup=False)


def _row(trial: "Trial") -> tuple[str, ...]:
    settings, rate = trial.settings, trial.rate
    return (
        f"{settings.lm_weight:.2f}",
        f"{settings.word_bonus:.2f}",
        _price(settings.unknown_word_score),
        f"{100 * rate.rate:.2f}",
        f"{100 * rate.low:.2f} to {100 * rate.high:.2f}",
        f"{trial.elapsed_s:.1f}",
    )


def _price(price: float | None) -> str:
    return "off" if price is None else f"{price:g}"


def _print_confidence(out: "Console", tuned: "Tuned") -> None:
    """Print how well confidences agree with the facts, before and after calibration."""
    before, after = tuned.calibration.before, tuned.calibration.after
    columns = ("words", "before", "right", "words", "after", "right")
    table = new_table(*columns)
    table.title, table.title_justify = "confidence and words that are right, %", "left"
    for index in range(max(len(before.bins), len(after.bins))):
        table.add_row(*_bin(before, index), *_bin(after, index))
    out.print(table)
    _say(
        out,
        f"expected calibration error {before.error:.1%}, calibrated {after.error:.1%}; "
        f"normalised cross entropy {before.cross_entropy:.3f}, {after.cross_entropy:.3f}",
    )
    if not tuned.calibration.helps:
        _say(
            out,
            "A calibration on some utterances does not improve the confidences of the others: ds2 "
            "leaves them as they are.",
        )


def _bin(judgement: "Judgement", index: int) -> tuple[str, ...]:
    if index >= len(judgement.bins):
        return "", "", ""
    item = judgement.bins[index]
    return str(item.num_words), f"{100 * item.confidence:.1f}", f"{100 * item.share_right:.1f}"


def _write(
    args: argparse.Namespace, bundle: "Bundle", source: Path, dev: "DevSet", tuned: "Tuned"
) -> None:
    """Write the picture, the figures and, last, the bundle."""
    from ds2.cli.bundle import print_lm
    from ds2.files import atomic_write
    from ds2.model.bundle_lm import add_lm, change_decoding

    if args.plot:
        from ds2.evaluation.figure import write_figure
        from ds2.tuning.picture import draw_tuning

        write_figure(draw_tuning(dev, tuned, f"{bundle.path}   {source}"), args.plot, dpi=110)
    if args.json:
        with atomic_write(args.json) as file:
            json.dump(_figures(dev, tuned), file, indent=2)
    if args.no_write:
        return
    if bundle.lm_path and bundle.lm_path.exists() and source.samefile(bundle.lm_path):
        print_lm(change_decoding(bundle.path, tuned.settings, args.output))
    else:
        print_lm(add_lm(bundle.path, source, tuned.settings, args.output))


def _figures(dev: "DevSet", tuned: "Tuned") -> dict[str, Any]:
    """Plain data for --json; rates are fractions."""
    from ds2.settings import settings_to_dict

    found, calibration = tuned.search, tuned.calibration
    return {
        "decoding": settings_to_dict(tuned.settings),
        "utterances": len(dev.references),
        "hours": dev.duration_s / 3600,
        "words": dev.num_words,
        "greedy": _rate(tuned.greedy),
        "tuned": _rate(tuned.chosen.trial.rate),
        "chosen_rate": found.chosen_rate,
        "held_out_rate": found.held_out_rate,
        "trials": [_trial(trial) for each in (found, *tuned.others) for trial in each.trials],
        "beams": [_trial(tried.trial) for tried in tuned.widths],
        "surface": {
            "alphas": found.surface.alphas.tolist(),
            "betas": found.surface.betas.tolist(),
            "rates": found.surface.rates.tolist(),
        },
        "confidence": {
            "before": _judgement(calibration.before),
            "after": _judgement(calibration.after),
            "kept": calibration.helps,
        },
    }


def _rate(rate: "Rate") -> dict[str, float]:
    return {"rate": rate.rate, "low": rate.low, "high": rate.high}


def _trial(trial: "Trial") -> dict[str, Any]:
    return {
        "beam_width": trial.settings.beam_width,
        "prior_weight": trial.settings.prior_weight,
        "alpha": trial.settings.lm_weight,
        "beta": trial.settings.word_bonus,
        "unknown_word_score": trial.settings.unknown_word_score,
        **_rate(trial.rate),
        "elapsed_s": trial.elapsed_s,
    }


def _judgement(judgement: "Judgement") -> dict[str, Any]:
    from dataclasses import asdict

    cross_entropy = judgement.cross_entropy
    return {
        "expected_calibration_error": judgement.error,
        "normalised_cross_entropy": None if math.isnan(cross_entropy) else cross_entropy,
        "bins": [asdict(item) for item in judgement.bins],
    }
