"""`ds2 warm-up`: compiles everything before anybody has to wait for it."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "warm-up",
        help="compile the search and the alignment now, not at their first use",
        description="Compile the search, the alignment and the look-ups in a language model, and "
        "keep the machine code for all models. ds2 writes it to NUMBA_CACHE_DIR. If this variable "
        "is not set, ds2 writes it beside the package or into your cache directory. Without this "
        "command, ds2 compiles each part at its first use after an installation, and that takes "
        "some seconds.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Compile everything, or load it if it is compiled already."""
    from ds2.ctc.warming import warm_up

    del args
    warm_up()
