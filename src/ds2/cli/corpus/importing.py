"""`ds2 corpus import`: makes a manifest from a folder of recordings and a table of texts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.screen.terminal import counted, language
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.importing.gather import Import, Request

MAX_NAMED = 5
"""Most cases of each reason that the report names."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "import",
        help="make a manifest from a folder of recordings and a table of texts",
        description="Read a folder of recordings and their texts, and write a manifest. The texts "
        "are in a .txt or .lab file beside each recording, or in tables. A table is CSV, TSV, a "
        "JSON array, LJSpeech's metadata.csv, a list of Common Voice, or lines with a name and a "
        "text. ds2 detects columns, quotes and encodings. It reports what it detected and what it "
        "left out.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of the recordings")
    parser.add_argument(
        "--texts",
        type=Path,
        action="append",
        default=[],
        metavar="TABLE",
        help="table with the name and the text of each recording; may be repeated (default: the "
        ".txt or .lab files beside the recordings, or the only table in DIR)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="MANIFEST",
        help="manifest to write (default: DIR/manifest.jsonl)",
    )
    parser.add_argument(
        "--speaker-from",
        metavar="REGEX",
        help="regular expression that finds the speaker in a recording's path below DIR, by its "
        "group or its whole match; '^([^/]+)/' takes the folder (default: the table's column)",
    )
    parser.add_argument(
        "--language",
        type=language,
        metavar="CODE",
        help="language of the texts, such as en, zh or de (default: as the table says)",
    )
    parser.add_argument(
        "--columns",
        type=lambda text: [name.strip() for name in text.split(",")],
        default=[],
        metavar="NAME,NAME,...",
        help="names for the table's columns, such as audio,text,speaker (default: its header)",
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="encoding of the texts, such as cp1252 or gb18030 (default: ds2 detects it)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing manifest")
    add_jobs(parser)
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> None:
    """Import, write and report."""
    from ds2.corpora.importing.gather import Request
    from ds2.corpora.importing.recordings import compile_pattern
    from ds2.manifest import write_manifest

    _check_source(args.directory)
    output = args.output or args.directory / "manifest.jsonl"
    _check_output(output, args.force, args.texts)
    request = Request(
        directory=args.directory,
        tables=tuple(args.texts),
        columns=tuple(args.columns),
        speaker_from=compile_pattern(args.speaker_from) if args.speaker_from else None,
        language=args.language,
        encoding=args.encoding,
        num_threads=jobs_of(args),
    )
    found = _gathered(request)
    write_manifest(output, found.utterances)
    _tell(found, output)


def _check_source(directory: Path) -> None:
    """Raise InputError for a single recording, and for the model of another toolkit."""
    from ds2.corpora.importing.recordings import find_recording
    from ds2.importing.files import find_checkpoint

    recording = find_recording(directory)
    if recording == directory:
        raise InputError(f"{directory}: is a recording: name the folder that it lies in")
    checkpoint = None if recording else find_checkpoint(directory)
    if checkpoint is None:
        return
    if checkpoint == directory:
        found = "is a checkpoint of a model"
    else:
        found = f"holds no recordings; it holds a checkpoint of a model ({checkpoint.name})"
    raise InputError(f"{directory}: {found}: ds2 import makes a bundle of it")


def _check_output(output: Path, replaces: bool, tables: list[Path]) -> None:
    """Raise InputError if the output would replace a file, or has no directory."""
    if any(output.exists() and table.exists() and output.samefile(table) for table in tables):
        raise InputError(f"-o {output}: is the table of the texts: name another file")
    if output.exists() and not replaces:
        raise InputError(
            f"{output}: exists already: replace it with --force, or name another with -o"
        )
    if not output.parent.is_dir():
        raise InputError(f"-o {output}: there is no directory {output.parent}: make it first")


def _gathered(request: "Request") -> "Import":
    from ds2.corpora.importing.gather import gather

    with counted("reading recordings", None) as count:
        return gather(request, count)


def _tell(found: "Import", output: Path) -> None:
    for line in found.taken:
        print(line)
    for kind in found.left_out:
        print(f"left out: {kind.reason}: {len(kind.places):,}")
        for place in kind.places[:MAX_NAMED]:
            print(f"  {place}")
        if len(kind.places) > MAX_NAMED:
            print(f"  ... and {len(kind.places) - MAX_NAMED:,} more")
    for note in found.notes:
        print(f"note: {note}")
    hours = sum(utterance.duration_s or 0.0 for utterance in found.utterances) / 3600
    speakers = {utterance.speaker for utterance in found.utterances} - {None}
    print(
        f"{output}: {len(found.utterances):,} utterances, {hours:.2f} h, {len(speakers):,} speakers"
    )
    print(f"next: ds2 check {output}")
