"""`ds2 corpus transcribe`: recognises the utterances of a manifest, on one machine or many."""

import argparse
from pathlib import Path

from ds2.cli.corpus.work import add_workers, utterances_of, workers_of, write_results
from ds2.cli.options.model import add_model


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "transcribe",
        help="recognise every utterance of a manifest",
        description="Read a manifest, recognise its utterances, and write the manifest again with "
        "pred_text and pred_confidence in every line. If ds2 stops early, run the same command "
        "again to continue.",
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="manifest to read")
    add_model(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="MANIFEST", help="manifest to write"
    )
    parser.add_argument(
        "--greedy",
        action="store_true",
        help="take the likeliest label of each frame; do not search",
    )
    add_workers(parser)
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int:
    """Recognise; return 2 if some utterances failed."""
    from ds2.corpora.work.work import TranscribeWork

    work = TranscribeWork(args.model, args.greedy)
    utterances = utterances_of(args.manifest)
    return write_results(work, utterances, args.output, workers_of(args), "recognising")
