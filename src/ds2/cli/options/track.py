"""The option that chooses one of several sound tracks."""

import argparse


def add_track(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--track",
        metavar="N|LANGUAGE",
        help="sound track to use in a film with several: its number, counted from 1, or its "
        "language; `ds2 info FILE` lists the tracks (default: the file's default track)",
    )
