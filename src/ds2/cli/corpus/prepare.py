"""`ds2 corpus prepare`: makes manifests of public corpora with their official splits."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.screen.terminal import complain, console, make_directory, note, progress
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.public.record import Prepared


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "prepare",
        help="make manifests of a public corpus",
        description="Read a copy of a public corpus, or download it, and write a manifest for each "
        "official split. ds2 compares the copy with the official figures. It does not copy or "
        "change audio. If it stops early, run the same command again to continue.",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="name of the corpus; --list prints all"
    )
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="directory of the copy, or for the download",
    )
    parser.add_argument(
        "--list", action="store_true", help="print all corpora that ds2 knows, then stop"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="directory for the manifests (default: the copy's)",
    )
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="NAME",
        help="split to prepare; may be repeated (default: all splits in the copy)",
    )
    parser.add_argument(
        "--language",
        metavar="CODE",
        help="language to prepare, such as en, of a corpus with several (default: the only one)",
    )
    _add_reading(parser)
    add_jobs(parser)
    parser.set_defaults(act=act)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options of the download and of the reading."""
    parser.add_argument(
        "--download", action="store_true", help="download and unpack the missing parts first"
    )
    parser.add_argument(
        "--mirror",
        metavar="URL",
        help="download from this address (default: openslr.org/resources)",
    )
    parser.add_argument(
        "--allow-incomplete", action="store_true", help="write manifests of incomplete splits, too"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="prepare all splits again, also those of an earlier run",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="argument for lhotse's preparer of the corpus; may be repeated (default: none)",
    )


def act(args: argparse.Namespace) -> int | None:
    """Prepare, and print the splits; return 2 if a split is incomplete."""
    if args.list:
        _print_list()
        return None
    if args.name is None or args.directory is None:
        raise InputError(
            "NAME, DIR: name a corpus and a directory, or print all corpora with --list"
        )
    from ds2.corpora.public.prepare import Request, corpus_named, prepare

    request = Request(
        corpus=corpus_named(args.name),
        directory=args.directory,
        output=args.output,
        splits=tuple(args.split),
        language=args.language,
        downloads=args.download,
        mirror=args.mirror,
        allows_incomplete=args.allow_incomplete,
        repeats=args.force,
        options=dict(map(_option, args.option)),
        num_threads=jobs_of(args),
    )
    if args.output is not None:
        make_directory(args.output)
    with progress() as report:
        results = prepare(request, report)
    return _print_results(results)


def _option(text: str) -> tuple[str, Any]:
    """Key and value. The value may be JSON."""
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise InputError(f"--option {text}: it must be KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _print_results(results: "list[Prepared]") -> int | None:
    for result in results:
        for line in (*result.lacks, *result.notes):
            complain(line)
        if result.is_written:
            done = " (done before)" if result.was_done else ""
            print(
                f"{result.name}: {result.num_utterances:,} utterances, {result.hours:.1f} hours, "
                f"{result.num_speakers:,} speakers: {result.manifest}{done}"
            )
    num_left = sum(not result.is_written for result in results)
    if not num_left:
        return None
    if any(result.num_utterances for result in results if not result.is_written):
        hint = "download the missing parts, or write incomplete splits with --allow-incomplete"
    else:
        hint = "download the missing parts"
    raise InputError(f"{num_left} of {len(results)} splits got no manifest: {hint}")


def _print_list() -> None:
    from rich.table import Table

    from ds2.corpora.public.catalogue import entries_here, entries_of_lhotse

    entries = entries_here()
    missing = ""
    try:
        entries += entries_of_lhotse()
    except InputError as error:
        missing = str(error)
    table = Table("name", "language", "hours", "licence", "download", box=None, pad_edge=False)
    for entry in entries:
        yes = "yes" if entry.is_downloadable else "no"
        table.add_row(entry.name, entry.language, entry.hours, entry.licence, yes)
    console().print(table)
    if missing:
        note(f"there are more: {missing}")
