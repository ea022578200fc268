"""`ds2 corpus stats`: describes the content and the sound of a corpus."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.corpus.work import print_errors
from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.screen.terminal import console, counted, language
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.checks.corpus import CheckOptions, Item
    from ds2.corpora.checks.problem import Problem
    from ds2.corpora.statistics.stats import Description, Part

HEARD = 1000
"""The default number of clips to read. It is enough for the percentiles of the table."""

MAX_ROWS = 40
"""Most groups in the terminal's table. --json and the page have all."""

MAX_PROBLEMS = 10
"""Most unreadable recordings that the report names."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "stats",
        help="describe a corpus: hours, speakers, texts, levels and noise",
        description="Read manifests, and print a table of hours, durations, speakers, words and "
        "characters. ds2 also measures levels, clipping, noise and bandwidth in a sample of the "
        "recordings. With -o it writes a page with plots.",
    )
    parser.add_argument(
        "manifests", type=Path, nargs="+", metavar="MANIFEST", help="manifests to describe"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="page (.html) or picture (.png, .svg) to write (default: none)",
    )
    parser.add_argument(
        "--by",
        metavar="FIELD",
        help="also describe the groups with equal values of this field, such as source, speaker, "
        "language or manifest (default: none)",
    )
    parser.add_argument(
        "--sound",
        default=str(HEARD),
        metavar="N",
        help=f"number of clips to measure, drawn at random; all, or 0 for none (default: {HEARD})",
    )
    parser.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help="model whose alphabet the texts must fit (default: do not compare)",
    )
    parser.add_argument(
        "--language",
        type=language,
        metavar="CODE",
        help="language of the texts, such as en (default: as each utterance says)",
    )
    add_jobs(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int:
    """Describe; return 2 if ds2 cannot read some recordings."""
    from ds2.corpora.statistics.stats import Part, describe

    _check_output(args.output)
    options = _options(args)
    name = ", ".join(map(str, args.manifests))
    items, problems, groups = _read(args, options)
    whole = Part(name, items)
    description = describe(whole, options.alphabet)
    described = [describe(group, options.alphabet) for group in groups]
    if args.output is not None:
        _write(args.output, description, described, groups or [whole], args.by)
    if args.json:
        result = {**asdict(description), "by": args.by, "groups": list(map(asdict, described))}
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        _print_tables(description, described, args.by)
    if args.output is not None and not args.json:
        print(f"wrote {args.output}")
    return _print_problems(problems)


def _check_output(output: Path | None) -> None:
    from ds2.evaluation.figure import check_figure

    if output is not None:
        check_figure(output, "html")


def _options(args: argparse.Namespace) -> "CheckOptions":
    from ds2.corpora.checks.corpus import CheckOptions
    from ds2.model.bundle import find_bundle, load_bundle

    alphabet = load_bundle(find_bundle(args.model)).alphabet if args.model else None
    if alphabet and args.language not in (None, alphabet.language):
        raise InputError(
            f"--language {args.language}: the model is for {alphabet.language}: change one of them"
        )
    return CheckOptions(language=args.language, alphabet=alphabet, num_threads=jobs_of(args))


def _num_heard(text: str) -> int | None:
    """The number of clips to read; None for all."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise InputError(f"--sound {text}: it must be a number of clips, 0 for none, or all")
    return int(text)


def _read(
    args: argparse.Namespace, options: "CheckOptions"
) -> "tuple[list[Item], list[Problem], list[Part]]":
    """All utterances, the problems of unreadable ones, and the groups of --by."""
    from ds2.corpora.statistics.stats import groups_by, listen_to_items
    from ds2.manifest import read_manifest

    num_heard = _num_heard(args.sound)
    utterances = [utterance for path in args.manifests for utterance in read_manifest(path)]
    total = len(utterances) if num_heard is None else min(num_heard, len(utterances))
    with counted("listening", total) as count:
        items, problems = listen_to_items(utterances, options, num_heard, count)
    if not items:
        raise InputError(f"{problems[0].where}: {problems[0].message}")
    if args.by is None:
        return items, problems, []
    groups = groups_by(items, args.by)
    if [group.name for group in groups] == ["(none)"]:
        there = sorted({key for item in items for key in item.utterance.extra})
        known = ", ".join(("speaker", "language", "manifest", "recording", *there))
        raise InputError(f"--by {args.by}: no utterance has this field: use one of {known}")
    return items, problems, groups


def _write(
    output: Path,
    description: "Description",
    described: "list[Description]",
    parts: "list[Part]",
    by: str | None,
) -> None:
    from ds2.corpora.statistics.page import stats_html
    from ds2.corpora.statistics.picture import draw_stats
    from ds2.evaluation.figure import form_of, write_figure
    from ds2.files import atomic_write

    if form_of(output) == "html":
        with atomic_write(output) as file:
            file.write(stats_html(description, described, parts, by))
        return
    write_figure(draw_stats(parts), output, dpi=130, facecolor="white")


def _print_tables(
    description: "Description", described: "list[Description]", by: str | None
) -> None:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from ds2.corpora.statistics.page import GROUP_COLUMNS, rows_of

    out = console()
    table = Table("")
    table.add_column(Text(description.name), overflow="fold")
    for name, value in rows_of(description):
        table.add_row(name, Text(value))
    out.print(table)
    if by is None:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(escape(by), overflow="fold")
    for heading, _ in GROUP_COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for each in described[:MAX_ROWS]:
        table.add_row(Text(each.name), *(cell(each) for _, cell in GROUP_COLUMNS))
    out.print(table)
    if len(described) > MAX_ROWS:
        out.print(f"and {len(described) - MAX_ROWS:,} more: --json and -o page.html have all")


def _print_problems(problems: "list[Problem]") -> int:
    shown = [f"{problem.where}: {problem.message}" for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown):,} more recordings that cannot be read")
    return print_errors(shown)
