"""The option that chooses one of several sound tracks."""

import argparse


def add_track(parser: argparse.ArgumentParser) -> None:
    """Add it."""
    parser.add_argument(
        "--track",
        metavar="N|LANGUAGE",
        help="of films with several sound tracks: its number, from 1, or its language; `ds2 info "
        "FILE` lists them (the default track of the file)",
    )
