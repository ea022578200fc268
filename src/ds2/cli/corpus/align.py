"""`ds2 corpus align`: when the words of long recordings were said, of texts not quite theirs."""

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
        help="find the words of long, roughly transcribed recordings",
        description="Find when each word of a text was said in a recording of any length. The "
        "text may lack some of what was said, and hold what was not. Writes a line of JSON for "
        "each recording, for ds2 corpus segment.",
    )
    parser.add_argument(
        "recording", type=Path, metavar="RECORDING|MANIFEST", help="audio, or a manifest with texts"
    )
    parser.add_argument(
        "transcript", type=Path, nargs="?", metavar="TEXT", help="of the recording: a text file"
    )
    add_model(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the file to write: a line for each recording",
    )
    parser.add_argument(
        "--extra-speech",
        type=float,
        metavar="X",
        help="what a frame of speech costs that is left out, in natural logarithms (4)",
    )
    parser.add_argument(
        "--missing-text",
        type=float,
        metavar="X",
        help="what a character of text costs that is left out (3)",
    )
    parser.add_argument(
        "--beam",
        type=float,
        metavar="X",
        help="alignments so far behind the best are given up (4000; inf: none are, which takes "
        "time that grows with the square of the length)",
    )
    parser.add_argument(
        "--raw-text", action="store_true", help="take the texts as they stand, not normalised"
    )
    add_workers(parser)
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int:
    """Align all recordings; 2 if some could not be."""
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
        raise InputError(f"{args.transcript}: holds no text")
    return [Utterance(args.recording.absolute(), text=text, source_file=args.transcript, line=1)]
