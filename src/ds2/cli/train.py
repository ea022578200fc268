"""`ds2 train`: train a network, or go on with a run that stopped."""

import argparse
from pathlib import Path

from ds2.errors import InputError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a network, or go on with a run that stopped",
        description="Train a network by the settings in a TOML file, or go on with a run: "
        "killed at any moment, it ends with the weights it would have had.",
    )
    parser.add_argument("source", type=Path, metavar="CONFIG.toml|RUN_DIR|CHECKPOINT")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="RUN_DIR", help="of a new run (runs/CONFIG)"
    )
    parser.add_argument(
        "--finish",
        type=float,
        metavar="HOURS",
        help="end the run: let the learning rate fall to 0 while so many more hours of audio are "
        "heard; with -o in a new run, and the old one can still go on",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a setting, such as training.learning_rate=3e-4, also of a run that goes on; "
        "may be repeated",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int | None:
    """Train; a run that a signal stopped exits as that signal's victims do."""
    try:
        from ds2.training.run.run import prepare_finish, prepare_run_directory, train
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ds2"):
            raise
        raise InputError(f"training needs {error.name}: pip install 'ds2[train]'") from None
    if args.finish is not None and args.output is not None:
        signal_number = train(
            *prepare_finish(args.source, args.output, args.overrides, args.finish)
        )
    else:
        signal_number = train(
            *prepare_run_directory(args.source, args.output, args.overrides, args.finish)
        )
    return None if signal_number is None else 128 + signal_number
