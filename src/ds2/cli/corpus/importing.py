"""`ds2 corpus import`: from a folder of recordings and a table of texts to a manifest."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.screen.terminal import counted, language, positive
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.importing.gather import Import, Request

MAX_NAMED = 5
"""Cases that are named of each kind that is left out."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "import",
        help="make a manifest of a folder of recordings and a table of texts",
        description="Bring recordings and what is said in them together. Texts come from tables "
        "(CSV, TSV, a JSON array, LJSpeech's metadata.csv, Common Voice's lists, lines of a name "
        "and a text) or from a .txt or .lab file beside each recording. Columns, quotes and "
        "encodings are told, and the report says what was taken for what, and what was left out.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="of the recordings")
    parser.add_argument(
        "--texts",
        type=Path,
        action="append",
        default=[],
        metavar="TABLE",
        help="says what is said in which recording; may be repeated (.txt or .lab files beside "
        "the recordings, or the one table in DIR)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="MANIFEST",
        help="the manifest to write (DIR/manifest.jsonl)",
    )
    parser.add_argument(
        "--speaker-from",
        metavar="REGEX",
        help="what finds the speaker in a recording's path below DIR: its group, or all of it; "
        "'^([^/]+)/' is the folder",
    )
    parser.add_argument(
        "--language", type=language, metavar="CODE", help="of the texts, such as en, zh or de"
    )
    parser.add_argument(
        "--columns",
        type=lambda text: [name.strip() for name in text.split(",")],
        default=[],
        metavar="NAME,NAME,...",
        help="names for the table's columns, such as audio,text,speaker (those of its header)",
    )
    parser.add_argument(
        "--encoding", metavar="NAME", help="of the texts, such as cp1252 or gb18030 (it is told)"
    )
    parser.add_argument("--force", action="store_true", help="replace a manifest that is there")
    parser.add_argument("--jobs", type=positive, metavar="N", help="threads that read (all cores)")
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> None:
    """Import, write, and say what became of it."""
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
        num_threads=args.jobs or os.cpu_count() or 1,
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
    """Raise InputError for a manifest that would be lost, or cannot be written."""
    if any(output.exists() and table.exists() and output.samefile(table) for table in tables):
        raise InputError(f"-o {output}: is the table itself: name another file")
    if output.exists() and not replaces:
        raise InputError(f"{output}: is there already: --force replaces it, -o names another")
    if not output.parent.is_dir():
        raise InputError(f"-o {output}: there is no directory {output.parent}")


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
