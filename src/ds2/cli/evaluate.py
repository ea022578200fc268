"""`ds2 evaluate`: measures a model's error rates on transcribed recordings."""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.cli.options.computing import add_computing
from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.options.model import add_model, mandarin_advice
from ds2.cli.screen.terminal import console, note, positive, tracked
from ds2.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ds2.evaluation.evaluation import Evaluation, Scored
    from ds2.manifest import Utterance
    from ds2.recognition.recognizer import Recognizer
    from ds2.text.alphabet import Alphabet
    from ds2.transcripts.transcript import Transcript


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure error rates on transcribed recordings, and show the errors",
        description="Recognise the utterances of manifests and compare the hypotheses with the "
        "texts. Prints the word and character error rates, and the worst errors.",
    )
    parser.add_argument(
        "manifests",
        nargs="+",
        type=Path,
        metavar="MANIFEST",
        help="manifests of recordings with texts",
    )
    add_model(parser)
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="FIELD",
        help="also show the result for each value of this field of the manifest, such as source; "
        "may be repeated (default: none)",
    )
    _add_report(parser)
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=8,
        metavar="N",
        help="number of recordings that each core recognises at once (default: 8)",
    )
    add_jobs(parser)
    parser.add_argument(
        "--raw-text",
        action="store_true",
        help="use the texts as they are; do not normalise them",
    )
    add_computing(parser)
    add_decoding(parser)
    parser.set_defaults(run=run)


def _add_report(parser: argparse.ArgumentParser) -> None:
    """Add the options of the report."""
    parser.add_argument(
        "--worst",
        type=int,
        default=5,
        metavar="N",
        help="number of worst utterances and speakers to show (default: 5)",
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write a report for a browser to this file (default: none)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to this file (default: none)"
    )
    parser.add_argument(
        "--hypotheses",
        type=Path,
        metavar="FILE",
        help="write the manifest again to this file, with pred_text in every line (default: none)",
    )


def run(args: argparse.Namespace) -> None:
    """Recognise, compare, print and write."""
    from ds2.evaluation.evaluation import Evaluation, score
    from ds2.files import check_output
    from ds2.manifest import read_manifest
    from ds2.text.normalise import normalise

    for path in filter(None, (args.html, args.json)):
        check_output(path)
    utterances = [utterance for path in args.manifests for utterance in read_manifest(path)]
    for utterance in utterances:
        if not utterance.text:
            raise InputError(f"{utterance.where}: has no text to compare with")
    recognizer = load_recognizer(args)
    language = recognizer.bundle.language
    start_s = time.perf_counter()
    scored = []
    for index, transcript in _recognise(recognizer, utterances, args):
        utterance = utterances[index]
        reference = utterance.text or ""
        if not args.raw_text:
            reference = normalise(reference, language)
        scored.append(
            (index, score(utterance, transcript.duration_s, reference, transcript.text, language))
        )
    elapsed_s = time.perf_counter() - start_s
    _tell_unspellable([item for _, item in scored], recognizer.bundle.alphabet)
    evaluation = Evaluation(tuple(item for _, item in sorted(scored, key=lambda pair: pair[0])))
    _print(evaluation, args, elapsed_s)
    _write(evaluation, args)


def _recognise(
    recognizer: "Recognizer", utterances: "Sequence[Utterance]", args: argparse.Namespace
) -> "Iterator[tuple[int, Transcript]]":
    """Transcripts under a progress bar. Raises InputError for a recording that cannot be read."""
    results = recognizer.transcribe_many(utterances, batch_size=args.batch_size, jobs=jobs_of(args))
    for index, result in tracked(results, "recognising", len(utterances)):
        if isinstance(result, InputError):
            raise InputError(f"{utterances[index].where}: {result}")
        yield index, result


def _tell_unspellable(scored: "Sequence[Scored]", alphabet: "Alphabet") -> None:
    """Show a note if references hold characters that the model can only get wrong."""
    found = [(item, alphabet.unspellable(item.reference)) for item in scored]
    bad = [(item.utterance.where, missing) for item, missing in found if missing]
    if bad:
        where, missing = min(bad)
        advice = mandarin_advice("".join(missing), alphabet.language)
        note(
            f"{len(bad)} texts hold characters that the model cannot write; they count as "
            f"errors; the first: {where}: {' '.join(sorted(missing))}"
            f"{advice and '; ' + advice}"
        )


def _print(evaluation: "Evaluation", args: argparse.Namespace, elapsed_s: float) -> None:
    out = console()
    counts = evaluation.words.counts
    out.print(f"WER {evaluation.words}   CER {evaluation.characters}   (95% intervals)")
    out.print(
        f"{len(evaluation.scored)} utterances, {evaluation.duration_s / 3600:.2f} h, "
        f"{counts.num_reference} words: {counts.num_substitutions} substituted, "
        f"{counts.num_deletions} deleted, {counts.num_insertions} inserted; "
        f"{evaluation.duration_s / max(elapsed_s, 1e-9):.0f} x real time"
    )
    out.print(_group_table("by length", evaluation.by_length()))
    for name in args.by:
        out.print(_group_table(f"by {name}", evaluation.by_field(name)))
    speakers = evaluation.by_speaker()
    if len(speakers) > 1:
        worst = sorted(speakers.items(), key=lambda part: -part[1].words.rate)[: args.worst]
        title = f"by speaker: the worst {len(worst)} of {len(speakers)}"
        out.print(_group_table(title, dict(worst)))
    if args.worst:
        _print_errors(out, evaluation, args.worst)


def _group_table(title: str, groups: "Mapping[str, Evaluation]") -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("utterances", "words", "WER %", "CER %", "sub", "del", "ins"):
        table.add_column(heading, justify="right")
    for name, group in groups.items():
        counts = group.words.counts
        figures = (len(group.scored), counts.num_reference)
        rates = (f"{100 * group.words.rate:.1f}", f"{100 * group.characters.rate:.1f}")
        edits = (counts.num_substitutions, counts.num_deletions, counts.num_insertions)
        table.add_row(name, *map(str, figures), *rates, *map(str, edits))
    return table


def _print_errors(out: "Console", evaluation: "Evaluation", num_shown: int) -> None:
    """Print the most common confusions, and the worst utterances word by word."""
    from ds2.evaluation.evaluation import aligned_lines

    confused = "   ".join(f"{a} > {b} ({n})" for a, b, n in evaluation.confused(3 * num_shown))
    out.print(f"most confused   {confused or 'nothing'}", soft_wrap=True, markup=False)
    for item in evaluation.worst(num_shown):
        out.print(f"\n{item.utterance.where}  {item.utterance.id}", markup=False)
        for line in aligned_lines(item.words):
            out.print(f"  {line}", soft_wrap=True, markup=False)


def _write(evaluation: "Evaluation", args: argparse.Namespace) -> None:
    from ds2.evaluation.report import evaluation_html
    from ds2.files import atomic_write
    from ds2.manifest import write_manifest

    if args.html:
        facts = {"model": str(args.model), "test set": ", ".join(map(str, args.manifests))}
        with atomic_write(args.html) as file:
            file.write(evaluation_html(evaluation, facts))
    if args.json:
        with atomic_write(args.json) as file:
            json.dump(_figures(evaluation, args.by), file, ensure_ascii=False, indent=2)
    if args.hypotheses:
        write_manifest(args.hypotheses, map(_answered, evaluation.scored))


def _answered(item: "Scored") -> "Utterance":
    extra = {**item.utterance.extra, "pred_text": item.hypothesis}
    return replace(item.utterance, extra=extra)


def _figures(evaluation: "Evaluation", fields: Sequence[str]) -> dict[str, Any]:
    """Plain data for --json; rates are fractions."""
    words, characters = evaluation.words, evaluation.characters
    figures: dict[str, Any] = {
        "wer": {"rate": words.rate, "low": words.low, "high": words.high},
        "cer": {"rate": characters.rate, "low": characters.low, "high": characters.high},
        "utterances": len(evaluation.scored),
        "hours": evaluation.duration_s / 3600,
        "words": words.counts.num_reference,
        "substitutions": words.counts.num_substitutions,
        "deletions": words.counts.num_deletions,
        "insertions": words.counts.num_insertions,
    }
    for name in fields:
        figures[name] = {
            value: _figures(group, []) for value, group in evaluation.by_field(name).items()
        }
    return figures
