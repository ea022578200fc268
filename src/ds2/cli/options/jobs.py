"""The option that says how many processor cores a command uses."""

import argparse

from ds2.cli.screen.terminal import positive
from ds2.cores import usable_cores

MOST_FOR_ONE = 4
"""Most threads that one recording gets: a network of this size gains nothing from more."""


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add `--jobs`."""
    parser.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="number of processor cores to use (default: all)",
    )


def jobs_of(args: argparse.Namespace) -> int:
    """The cores to use: as many as the option says, else all that this process may use."""
    return int(args.jobs or usable_cores())


def threads_for_each(args: argparse.Namespace, num_recordings: int) -> int:
    """Threads of the network for each recording, where several recordings share the cores."""
    return max(1, min(MOST_FOR_ONE, jobs_of(args) // max(1, num_recordings)))
