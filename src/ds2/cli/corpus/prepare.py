"""`ds2 corpus prepare`: public corpora to manifests, with their official splits."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.cli.screen.terminal import complain, console, make_directory, note, positive, progress
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.public.record import Prepared


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "prepare",
        help="make manifests of a public corpus",
        description="Write a manifest for each official split of a public corpus, from a copy of "
        "it or after downloading it. The copy is held against the official figures; audio is not "
        "copied or changed. Run again, it goes on where it stopped.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the corpus: see --list")
    parser.add_argument(
        "directory", nargs="?", type=Path, metavar="DIR", help="of the copy, or where it is to be"
    )
    parser.add_argument(
        "--list", action="store_true", help="print what corpora there are, and do nothing else"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="for the manifests (the copy's directory)"
    )
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="NAME",
        help="prepare this split only; may be repeated (all that are there)",
    )
    parser.add_argument("--language", metavar="CODE", help="of a corpus of many, such as en")
    parser.add_argument(
        "--download", action="store_true", help="fetch what is not there yet, and unpack it"
    )
    parser.add_argument(
        "--mirror", metavar="URL", help="fetch from here, in place of openslr.org/resources"
    )
    parser.add_argument(
        "--allow-incomplete", action="store_true", help="write manifests of what is there"
    )
    parser.add_argument(
        "--force", action="store_true", help="prepare again what an earlier run has done"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument for lhotse's preparer; may be repeated",
    )
    parser.add_argument("--jobs", type=positive, metavar="N", help="threads (all cores)")
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int | None:
    """Prepare, and say what there is now; 2 if a split is incomplete."""
    if args.list:
        _print_list()
        return None
    if args.name is None or args.directory is None:
        raise InputError("name a corpus and a directory, or --list to see what corpora there are")
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
        num_threads=args.jobs or os.cpu_count() or 1,
    )
    if args.output is not None:
        make_directory(args.output)
    with progress() as report:
        results = prepare(request, report)
    return _print_results(results)


def _option(text: str) -> tuple[str, Any]:
    """Key and value, which may be JSON."""
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
        hint = "fetch what is missing, or write what is there with --allow-incomplete"
    else:
        hint = "fetch what is missing"
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
