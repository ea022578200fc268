"""`ds2 corpus align`: finds the times of words in long recordings with rough texts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.corpus.work import add_workers, utterances_of, workers_of, write_results
from ds2.cli.options.model import add_model
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.ctc.alignment.approximate import Tolerance
    from ds2.manifest import Utterance


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "align",
        help="find the times of words in long recordings with rough texts",
        description="Read recordings of any length with their texts, and find the time of each "
        "word. The text may lack words of the recording, and may have words that nobody said. ds2 "
        "writes a line of JSON for each recording, for `ds2 corpus segment`.",
    )
    parser.add_argument(
        "recording",
        type=Path,
        metavar="RECORDING|MANIFEST",
        help="a recording, or a manifest of recordings with texts",
    )
    parser.add_argument(
        "transcript",
        type=Path,
        nargs="?",
        metavar="TEXT",
        help="text file for RECORDING; leave it out for a manifest",
    )
    add_model(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write, with a line for each recording",
    )
    parser.add_argument(
        "--extra-speech",
        type=float,
        metavar="X",
        help="cost of each frame of speech that the text lacks, as a natural logarithm (default: "
        "4)",
    )
    parser.add_argument(
        "--missing-text",
        type=float,
        metavar="X",
        help="cost of each character of text that nobody said, as a natural logarithm (default: 3)",
    )
    parser.add_argument(
        "--beam",
        type=float,
        metavar="X",
        help="drop alignments whose score is this far below the best, as a natural logarithm; inf "
        "drops none, but the time grows with the square of the length (default: 4000)",
    )
    parser.add_argument(
        "--raw-text", action="store_true", help="use the texts as they are; do not normalise them"
    )
    add_workers(parser)
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int:
    """Align all recordings; return 2 if some failed."""
    from ds2.corpora.work.work import AlignWork

    work = AlignWork(args.model, _tolerance(args), raw_text=args.raw_text)
    return write_results(work, _recordings(args), args.output, workers_of(args), "aligning")


def _tolerance(args: argparse.Namespace) -> "Tolerance":
    from ds2.ctc.alignment.approximate import Tolerance

    names = ("extra_speech", "missing_text", "beam")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        return Tolerance(**given)
    except ValueError as error:
        raise InputError(f"--{str(error).replace('_', '-', 1)}") from None


def _recordings(args: argparse.Namespace) -> "list[Utterance]":
    from ds2.manifest import Utterance
    from ds2.manifest.utterance import numbered_lines

    if args.transcript is None:
        return utterances_of(args.recording)
    if not args.recording.is_file():
        raise InputError(f"{args.recording}: no such file or directory")
    text = "\n".join(line for _, line in numbered_lines(args.transcript))
    if not text:
        raise InputError(f"{args.transcript}: holds no text: name another file")
    return [Utterance(args.recording.absolute(), text=text, source_file=args.transcript, line=1)]
