"""`ds2 corpus filter`: keep the utterances whose text is what was said."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.corpus.work import add_workers, print_errors, results_beside, utterances_of, workers_of
from ds2.cli.options.model import add_model
from ds2.cli.screen.terminal import console
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.long.filter import Classifier, Curve, Floats
    from ds2.corpora.work.resumable import Fields
    from ds2.manifest import Utterance

SHOWN_KEPT = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares kept whose thresholds the table has."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "filter",
        help="drop utterances whose text is not what was said",
        description="Keep the utterances whose text a classifier takes for what was said. It "
        "learns from good transcripts and from copies of them that it damages itself: those of "
        "--trusted, or else of the manifest, most of which must then be right. Every line that "
        "is kept tells the probability, as good.",
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="the utterances to judge")
    add_model(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="MANIFEST",
        help="the manifest of the utterances that are kept",
    )
    parser.add_argument(
        "--trusted", type=Path, metavar="MANIFEST", help="utterances with good texts to learn from"
    )
    parser.add_argument(
        "--classifier", type=Path, metavar="FILE", help="one that --save has written: learn nothing"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the classifier")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="keep what is good with at least this probability (0.5)",
    )
    parser.add_argument(
        "--bad-rate",
        type=float,
        default=0.1,
        metavar="R",
        help="a damaged text counts as bad from more than this error rate on (0.1)",
    )
    parser.add_argument("--dropped", type=Path, metavar="MANIFEST", help="write the others, too")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw precision over recall: .png, .svg or .pdf"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the damage (0)")
    parser.add_argument(
        "--raw-text", action="store_true", help="take the texts as they stand, not normalised"
    )
    add_workers(parser)
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int:
    """Learn, judge, write; 2 if some utterances could not be judged."""
    import numpy as np

    from ds2.corpora.long.filter import Classifier

    _check(args)
    utterances = utterances_of(args.manifest)
    if args.classifier is not None:
        classifier = Classifier.load(args.classifier)
    elif args.trusted is not None:
        trusted = utterances_of(args.trusted)
        with _score(_with_damage(trusted, args), args, ".trusted") as rows:
            classifier = _learn(trusted, rows, args)
    else:
        classifier = None
    candidates = utterances if classifier else _with_damage(utterances, args)
    with _score(candidates, args, "") as rows:
        classifier = classifier or _learn(utterances, rows, args)
        judged = [index for index, row in enumerate(rows) if "error" not in row]
        if not judged:
            raise InputError(f"{args.manifest}: nothing can be judged: {rows[0]['error']}")
        features = np.array([rows[index]["features"][0] for index in judged])
        _write(utterances, judged, classifier.probabilities(features), args)
    return print_errors([row["error"] for row in rows if "error" in row])


def _check(args: argparse.Namespace) -> None:
    from ds2.evaluation.figure import check_figure

    if args.classifier is not None and args.trusted is not None:
        raise InputError("--trusted: is for learning; --classifier has learnt already")
    if args.classifier is not None and args.plot is not None:
        raise InputError("--plot: draws what was learnt: leave out --classifier")
    if not 0 <= args.threshold <= 1:
        raise InputError(f"--threshold: must be from 0 to 1, not {args.threshold:g}")
    if not args.bad_rate >= 0:
        raise InputError(f"--bad-rate: must be 0 or more, not {args.bad_rate:g}")
    if args.plot is not None:
        check_figure(args.plot)


def _with_damage(utterances: "Sequence[Utterance]", args: argparse.Namespace) -> "list[Utterance]":
    """The utterances, each with a damaged text of its own beside its text."""
    import numpy as np

    from ds2.corpora.long.damage import damaged
    from ds2.corpora.work.work import OTHERS
    from ds2.model.bundle import find_bundle, load_bundle

    language = load_bundle(find_bundle(args.model)).language
    texts = [utterance.text for utterance in utterances if utterance.text]
    if not texts:
        raise InputError(f"{utterances[0].where}: has no text: a filter compares texts with audio")
    return [
        replace(
            utterance,
            extra={
                **utterance.extra,
                OTHERS: [
                    damaged(
                        utterance.text, texts, language, np.random.default_rng([args.seed, index])
                    )
                ],
            },
        )
        if utterance.text
        else utterance
        for index, utterance in enumerate(utterances)
    ]


@contextmanager
def _score(
    utterances: "list[Utterance]", args: argparse.Namespace, suffix: str
) -> "Iterator[list[Fields]]":
    """What the model finds of each utterance; kept beside the output until that is written."""
    from ds2.corpora.work.work import ScoreWork

    work = ScoreWork(args.model, raw_text=args.raw_text)
    place = args.output.with_name(args.output.name + suffix)
    with results_beside(place, work, utterances, workers_of(args), "scoring") as results:
        yield list(results)


def _learn(
    utterances: "Sequence[Utterance]", rows: "Sequence[Fields]", args: argparse.Namespace
) -> "Classifier":
    """Fit a classifier to texts and damaged texts, and show how good it is."""
    import numpy as np

    from ds2.corpora.long.damage import error_rate
    from ds2.corpora.long.filter import held_out_probabilities, precision_recall, train_classifier
    from ds2.model.bundle import find_bundle, load_bundle

    language = load_bundle(find_bundle(args.model)).language
    features, is_good, owners = [], [], []
    for index, (utterance, row) in enumerate(
        zip(_with_damage(utterances, args), rows, strict=True)
    ):
        if "error" in row:
            continue
        (worse,) = utterance.extra["others"]
        rate = error_rate(utterance.text or "", worse, language)
        features += row["features"]
        is_good += [True, rate <= args.bad_rate]
        owners += [index, index]
    if len(set(is_good)) < 2 or len(set(owners)) < 10:
        raise InputError(
            f"{args.trusted or args.manifest}: too few utterances to learn from: "
            f"{len(set(owners))} can be used, and some hundred are wanted: name others by "
            "--trusted, or a --classifier"
        )
    table, good = np.array(features), np.array(is_good)
    held_out = held_out_probabilities(table, good, np.array(owners), args.seed)
    _show(precision_recall(held_out, good), args)
    classifier = train_classifier(table, good)
    if args.save is not None:
        classifier.save(args.save)
    return classifier


def _show(curve: "Curve", args: argparse.Namespace) -> None:
    """A table of thresholds on damaged transcripts, and the plot."""
    import numpy as np
    from rich.table import Table

    table = Table(
        "threshold", "precision", "recall", "kept", box=None, title="held out, half of it damaged"
    )
    for share in SHOWN_KEPT:
        place = int(np.argmin(np.abs(curve.kept - share)))
        table.add_row(
            f"{curve.thresholds[place]:.3f}",
            f"{curve.precision[place]:.1%}",
            f"{curve.recall[place]:.1%}",
            f"{curve.kept[place]:.1%}",
        )
    out = console(stderr=True)
    out.print(table)
    out.print(f"average precision {curve.average_precision:.3f}")
    if args.plot is not None:
        _draw(curve, args)


def _draw(curve: "Curve", args: argparse.Namespace) -> None:
    from ds2.evaluation.figure import import_figure, write_figure

    figure = import_figure()(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.recall, curve.precision)
    place = int((curve.thresholds < args.threshold).sum())
    if place < len(curve.thresholds):
        axes.plot(curve.recall[place], curve.precision[place], "o", color="C3")
        axes.annotate(
            f"threshold {args.threshold:g}",
            (curve.recall[place], curve.precision[place]),
            xytext=(-8, -14),
            textcoords="offset points",
            ha="right",
        )
    axes.set_xlabel("recall: of the good utterances, the share that is kept")
    axes.set_ylabel("precision: of what is kept, the share that is good")
    axes.set_xlim(0, 1.01)
    axes.set_title(f"average precision {curve.average_precision:.3f}", fontsize=10)
    axes.grid(alpha=0.3)
    write_figure(figure, args.plot, dpi=150)


def _write(
    utterances: "Sequence[Utterance]",
    indices: Sequence[int],
    probabilities: "Floats",
    args: argparse.Namespace,
) -> None:
    from ds2.manifest import write_manifest

    kept: list[Utterance] = []
    dropped: list[Utterance] = []
    for index, probability in zip(indices, probabilities.tolist(), strict=True):
        utterance = utterances[index]
        told = replace(utterance, extra={**utterance.extra, "good": round(probability, 4)})
        (kept if probability >= args.threshold else dropped).append(told)
    if not kept:
        raise InputError(f"--threshold {args.threshold:g}: no utterance is so sure to be good")
    if args.dropped is not None:
        write_manifest(args.dropped, dropped)
    write_manifest(args.output, kept)
    total = len(kept) + len(dropped)
    seconds = [sum(item.duration_s or 0.0 for item in part) for part in (kept, dropped)]
    share = seconds[0] / max(1e-9, sum(seconds))
    print(
        f"{args.output}: {len(kept)} of {total} utterances, {seconds[0] / 3600:.2f} hours "
        f"({share:.0%})"
    )
