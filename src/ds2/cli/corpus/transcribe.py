"""`ds2 corpus transcribe`: recognise every utterance of a manifest, on one machine or many."""

import argparse
from pathlib import Path

from ds2.cli.corpus.work import add_workers, utterances_of, workers_of, write_results
from ds2.cli.options.model import add_model


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "transcribe",
        help="recognise every utterance of a manifest",
        description="Recognise the utterances of a manifest, and write it again with pred_text "
        "and pred_confidence in every line. An interrupted run goes on where it was.",
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="the recordings")
    add_model(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="MANIFEST", help="the manifest to write"
    )
    parser.add_argument(
        "--greedy", action="store_true", help="the likeliest label of each frame, no search"
    )
    add_workers(parser)
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int:
    """Recognise; 2 if some utterances could not be."""
    from ds2.corpora.work.work import TranscribeWork

    work = TranscribeWork(args.model, args.greedy)
    utterances = utterances_of(args.manifest)
    return write_results(work, utterances, args.output, workers_of(args), "recognising")
