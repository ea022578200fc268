"""`ds2 corpus`: makes a corpus for training from raw recordings. Each action has a module."""

import argparse
import importlib
from collections.abc import Callable

ACTIONS: tuple[str, ...] = (
    "importing",
    "prepare",
    "alphabet",
    "align",
    "segment",
    "filter",
    "split",
    "stats",
    "synthesise",
    "transcribe",
    "shard",
)
"""The modules of this package, in the order `ds2 corpus --help` lists them."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "corpus",
        help="make a corpus for training: import, align, cut, filter, split and more",
        description="Make manifests for training from raw recordings and texts.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in ACTIONS:
        importlib.import_module(f"ds2.cli.corpus.{action}").add_action(actions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int | None:
    """Run the action."""
    act: Callable[[argparse.Namespace], int | None] = args.act
    return act(args)
