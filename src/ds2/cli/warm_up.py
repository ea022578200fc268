"""`ds2 warm-up`: machine code made before anybody waits for it."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "warm-up",
        help="compile ahead what else is compiled at its first use",
        description="Compile the search, the alignment and the language model's look-ups, and keep "
        "the machine code: in NUMBA_CACHE_DIR, if that is set, else beside the package or in the "
        "user's cache directory. It serves all models. Without this command, each is compiled at "
        "its first use after an installation, which takes some seconds.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Compile, or load, everything."""
    from ds2.ctc.warming import warm_up

    del args
    warm_up()
