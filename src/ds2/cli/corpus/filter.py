"""`ds2 corpus filter`: keeps the utterances whose text is right."""

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
"""The table shows the thresholds that keep these shares of the utterances."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "filter",
        help="drop utterances whose text is wrong",
        description="Read a manifest, and write the utterances whose text is probably right. A "
        "classifier decides. ds2 trains it on transcripts and on damaged copies of them. The "
        "transcripts come from --trusted, or else from MANIFEST, where most must be right. In the "
        "new manifest, the field good of each line is the probability.",
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="manifest to filter")
    add_model(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="MANIFEST",
        help="manifest to write, with the utterances that ds2 keeps",
    )
    _add_classifier(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="lowest probability of a text to keep, from 0 to 1 (default: 0.5)",
    )
    parser.add_argument(
        "--bad-rate",
        type=float,
        default=0.1,
        metavar="R",
        help="for training, a damaged text is wrong if its error rate is above this (default: 0.1)",
    )
    parser.add_argument(
        "--dropped",
        type=Path,
        metavar="MANIFEST",
        help="write the other utterances to this manifest (default: none)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw precision over recall into this .png, .svg or .pdf file (default: none)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed for the random damage (default: 0)"
    )
    parser.add_argument(
        "--raw-text", action="store_true", help="use the texts as they are; do not normalise them"
    )
    add_workers(parser)
    parser.set_defaults(act=act)


def _add_classifier(parser: argparse.ArgumentParser) -> None:
    """Add the options of the classifier."""
    parser.add_argument(
        "--trusted",
        type=Path,
        metavar="MANIFEST",
        help="manifest with right texts, to train the classifier (default: the manifest to filter)",
    )
    parser.add_argument(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="classifier that --save wrote earlier (default: train a new one)",
    )
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="write the classifier to this file (default: none)",
    )


def act(args: argparse.Namespace) -> int:
    """Train, judge and write; return 2 if ds2 could not judge some utterances."""
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
            raise InputError(f"{args.manifest}: ds2 can judge no utterance: {rows[0]['error']}")
        features = np.array([rows[index]["features"][0] for index in judged])
        _write(utterances, judged, classifier.probabilities(features), args)
    return print_errors([row["error"] for row in rows if "error" in row])


def _check(args: argparse.Namespace) -> None:
    from ds2.evaluation.figure import check_figure

    if args.classifier is not None and args.trusted is not None:
        raise InputError("--trusted: trains a new classifier: leave out --classifier or --trusted")
    if args.classifier is not None and args.plot is not None:
        raise InputError(
            "--plot: draws the quality of a new classifier: leave out --classifier or --plot"
        )
    if not 0 <= args.threshold <= 1:
        raise InputError(f"--threshold: must be from 0 to 1, not {args.threshold:g}")
    if not args.bad_rate >= 0:
        raise InputError(f"--bad-rate: must be 0 or more, not {args.bad_rate:g}")
    if args.plot is not None:
        check_figure(args.plot)


def _with_damage(utterances: "Sequence[Utterance]", args: argparse.Namespace) -> "list[Utterance]":
    """The utterances, each with a damaged copy of its text beside the text."""
    import numpy as np

    from ds2.corpora.long.damage import damaged
    from ds2.corpora.work.work import OTHERS
    from ds2.model.bundle import find_bundle, load_bundle

    language = load_bundle(find_bundle(args.model)).language
    texts = [utterance.text for utterance in utterances if utterance.text]
    if not texts:
        raise InputError(
            f"{utterances[0].where}: has no text: add texts, because a filter compares them with "
            "audio"
        )
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
    """The model's scores of each utterance. A file beside the output keeps them until the end."""
    from ds2.corpora.work.work import ScoreWork

    work = ScoreWork(args.model, raw_text=args.raw_text)
    place = args.output.with_name(args.output.name + suffix)
    with results_beside(place, work, utterances, workers_of(args), "scoring") as results:
        yield list(results)


def _learn(
    utterances: "Sequence[Utterance]", rows: "Sequence[Fields]", args: argparse.Namespace
) -> "Classifier":
    """Train a classifier on texts and damaged texts, and show its quality."""
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
            f"{len(set(owners))} are usable, and some hundred are best: name more with "
            "--trusted, or name a --classifier"
        )
    table, good = np.array(features), np.array(is_good)
    held_out = held_out_probabilities(table, good, np.array(owners), args.seed)
    _show(precision_recall(held_out, good), args)
    classifier = train_classifier(table, good)
    if args.save is not None:
        classifier.save(args.save)
    return classifier


def _show(curve: "Curve", args: argparse.Namespace) -> None:
    """Print a table of thresholds for damaged transcripts, and draw the plot."""
    import numpy as np
    from rich.table import Table

    table = Table(
        "threshold",
        "precision",
        "recall",
        "kept",
        box=None,
        title="held-out texts, half of them damaged",
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
    axes.set_xlabel("recall: share of the good utterances that is kept")
    axes.set_ylabel("precision: share of the kept utterances that is good")
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
        raise InputError(
            f"--threshold {args.threshold:g}: no utterance is good with this probability: lower it"
        )
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
