"""`ds2 lm`: builds language models, and shows, mixes, prunes, tunes and scores with them."""

import argparse
from collections.abc import Callable

from ds2.cli.lm.build import add_build, add_convert
from ds2.cli.lm.interpolate import add_interpolate
from ds2.cli.lm.prune import add_prune
from ds2.cli.lm.queries import add_info, add_perplexity, add_score
from ds2.cli.lm.tune import add_tune


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "lm",
        help="build n-gram language models, score text with them, mix, prune and tune them",
        description="Build and use n-gram language models. They are models of words for English, "
        "and of characters for Mandarin.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_build(actions)
    add_convert(actions)
    add_score(actions)
    add_perplexity(actions)
    add_info(actions)
    add_interpolate(actions)
    add_prune(actions)
    add_tune(actions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    act: Callable[[argparse.Namespace], None] = args.act
    act(args)
