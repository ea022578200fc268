"""`ds2 check`: finds faults in a manifest before a training run stumbles over them."""

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.screen.terminal import console, language, shows_progress
from ds2.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from ds2.corpora.checks.check import Report
    from ds2.corpora.checks.corpus import CheckOptions, OnStart, Statistics
    from ds2.corpora.checks.problem import Problem
    from ds2.text.alphabet import Alphabet

RARE = 5
"""A model hardly learns a character that occurs less often than this."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="find faults in a manifest and its recordings",
        description="Read a manifest and all its recordings, and print the faults: recordings that "
        "are missing, cut off, silent or too short, texts that the alphabet cannot spell, and "
        "duplicates. With --against, ds2 also finds what a test set shares with training data. The "
        "exit status is 1 if there are errors, and 0 if there are only notes.",
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="the manifest to check")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="OTHER",
        help="manifest that must not share audio or speakers with MANIFEST; may be repeated "
        "(default: none)",
    )
    parser.add_argument(
        "--language",
        type=language,
        metavar="CODE",
        help="language of the texts, such as en (default: as each utterance says)",
    )
    alphabet = parser.add_mutually_exclusive_group()
    alphabet.add_argument(
        "--alphabet",
        metavar="characters|bigrams|FILE",
        help="alphabet that must be able to spell the texts: an English one or a JSON file "
        "(default: English characters; in other languages all letters of the texts)",
    )
    alphabet.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help="model whose alphabet and time stride to use (default: see --alphabet)",
    )
    parser.add_argument(
        "--time-stride",
        type=int,
        metavar="FRAMES",
        help="time stride of the network, in feature frames for each output; ds2 uses it to find "
        "recordings that are too short for their texts (default: 2)",
    )
    _add_scope(parser)
    parser.set_defaults(run=run)


def _add_scope(parser: argparse.ArgumentParser) -> None:
    """Add the options of the scope and of the output."""
    parser.add_argument(
        "--no-normalise",
        action="store_true",
        help="do not normalise the texts, as a run with data.normalise=false",
    )
    parser.add_argument(
        "--no-audio", action="store_true", help="check the manifest only; do not read recordings"
    )
    add_jobs(parser)
    parser.add_argument(
        "--limit",
        type=int,
        default=10,
        metavar="N",
        help="most lines for each kind of problem; equal problems share a line; 0 shows each "
        "problem on a line of its own (default: 10)",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Check and report; return 1 if there are errors."""
    from ds2.corpora.checks.check import check

    options = _options(args)
    with ExitStack() as stack:
        on_start = _progress(stack) if shows_progress() else _no_progress
        report = check(args.manifest, args.against, options, on_start)
    if args.json:
        print(json.dumps(_as_json(report), ensure_ascii=False, indent=1))
    else:
        _print_problems(report, args.limit)
        _print_tables(report)
    return 1 if report.num_errors else 0


def _options(args: argparse.Namespace) -> "CheckOptions":
    from ds2.corpora.checks.corpus import CheckOptions

    for name, least in (("time_stride", 1), ("limit", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            option = name.replace("_", "-")
            raise InputError(f"--{option}: {value}: it must be at least {least}")
    alphabet, time_stride = None, None
    if args.model:
        alphabet, time_stride = _of_model(args.model)
    elif args.alphabet:
        alphabet = _alphabet(args.alphabet)
    if alphabet and args.language not in (None, alphabet.language):
        raise InputError(
            f"--language {args.language}: the alphabet is for {alphabet.language}: change one of "
            "them"
        )
    return CheckOptions(
        language=args.language,
        alphabet=alphabet,
        time_stride=args.time_stride or time_stride or 2,
        normalise=not args.no_normalise,
        listens=not args.no_audio,
        num_threads=jobs_of(args),
    )


def _of_model(name: str) -> "tuple[Alphabet, int]":
    """The alphabet of a model, and its time stride in feature frames for each output."""
    from ds2.model.bundle import find_bundle, load_bundle

    bundle = load_bundle(find_bundle(name))
    return bundle.alphabet, bundle.model.time_stride


def _alphabet(name: str) -> "Alphabet":
    from ds2.text.alphabet import Alphabet, english_bigrams, english_characters

    if name in ("characters", "bigrams"):
        return english_bigrams() if name == "bigrams" else english_characters()
    try:
        return Alphabet.load(Path(name))
    except InputError as error:
        raise InputError(f"--alphabet {error}") from None


def _no_progress(_name: str, _total: int) -> Callable[[], object]:
    return lambda: None


def _progress(stack: ExitStack) -> "OnStart":
    """A bar on standard error for each manifest."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=console(stderr=True), transient=True)
    progress = stack.enter_context(shown)

    def on_start(name: str, total: int) -> Callable[[], object]:
        task = progress.add_task(name, total=total)
        return lambda: progress.advance(task)

    return on_start


def _as_json(report: "Report") -> dict[str, Any]:
    problems = [
        {"severity": "error" if problem.is_error else "note", **asdict(problem)}
        for problem in report.problems
    ]
    for fields in problems:
        del fields["gist"]
    return {**asdict(report), "num_errors": report.num_errors, "problems": problems}


def _print_problems(report: "Report", limit: int) -> None:
    """Print the problems by kind, errors first, in the style of a compiler."""
    from ds2.corpora.checks.problem import ERRORS, NOTES

    hides = False
    for severity, kinds in (("error", ERRORS), ("note", NOTES)):
        for kind, meaning in kinds.items():
            problems = [problem for problem in report.problems if problem.kind == kind]
            groups = _alike(problems) if limit else [[problem] for problem in problems]
            shown = groups[: limit or None]
            if problems:
                print(f"{severity}: {meaning}: {len(problems)}")
            for first, *others in shown:
                more = f" and {len(others)} more" if others else ""
                print(f"  {first.where}{more}: {_one_line(first.message)}")
            if num_left := sum(map(len, groups[len(shown) :])):
                print(f"  ... and {num_left} more")
            hides |= len(shown) < len(problems)
    if hides:
        print("--limit 0 shows every problem")


def _alike(problems: "Sequence[Problem]") -> "list[list[Problem]]":
    """The problems of one kind, with equal ones together, in their first order."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.gist or problem.message, []).append(problem)
    return list(groups.values())


def _one_line(message: str) -> str:
    """The message, with line ends and other control characters of texts as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)


def _print_tables(report: "Report") -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    checked, *others = report.statistics
    table = Table("")
    table.add_column(Text(checked.manifest), overflow="fold")
    for name, value in _rows(checked):
        table.add_row(name, Text(value))
    out.print(table)
    if others:
        out.print(_comparison(report))
    num_notes = len(report.problems) - report.num_errors
    out.print(f"errors: {report.num_errors}, notes: {num_notes}")


def _comparison(report: "Report") -> "Table":
    """A table of how many utterances share something with each of the other manifests."""
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(
        Column("against", overflow="fold"),
        "hours",
        "speakers",
        "kHz",
        "same audio",
        "speaker",
        "text",
    )
    for other, overlap in zip(report.statistics[1:], report.overlaps, strict=True):
        counts = (overlap.num_same_audio, overlap.num_same_speaker, overlap.num_same_text)
        facts = (f"{other.hours:.2f}", str(other.num_speakers), _kilohertz(other))
        table.add_row(Text(other.manifest), *facts, *map(str, counts))
    return table


def _kilohertz(statistics: "Statistics") -> str:
    """The median bandwidth in kHz, or -."""
    bandwidth_hz = statistics.median_bandwidth_hz
    return "-" if bandwidth_hz is None else f"{bandwidth_hz / 1000:g}"


def _rows(statistics: "Statistics") -> list[tuple[str, str]]:
    """Names and values for the table of a manifest."""
    durations_s = (statistics.shortest_s, statistics.median_s, statistics.longest_s)
    known_s = [f"{seconds:.1f}" for seconds in durations_s if seconds is not None]
    characters = statistics.characters
    rare = sum(count < RARE for count in characters.values())
    rates = ", ".join(f"{rate / 1000:g}" for rate in statistics.sample_rates_hz)
    nameless = statistics.num_without_speaker
    return [
        ("utterances", f"{statistics.num_utterances:,}"),
        ("hours", f"{statistics.hours:.2f}"),
        ("shortest, median, longest (s)", ", ".join(known_s) or "-"),
        ("speakers", f"{statistics.num_speakers:,}" + f" ({nameless:,} unnamed)" * bool(nameless)),
        ("words (Mandarin: characters)", f"{statistics.num_words:,}"),
        ("different texts", f"{statistics.num_distinct_texts:,}"),
        ("different characters", f"{len(characters):,} ({rare:,} under {RARE} times)"),
        ("commonest characters", " ".join([c for c in characters if c != " "][:12])),
        ("sample rates (kHz)", rates or "-"),
        ("median bandwidth (kHz)", _kilohertz(statistics)),
    ]
