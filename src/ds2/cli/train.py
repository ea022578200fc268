"""`ds2 train`: train a network, or go on with a run that stopped."""

import argparse
from pathlib import Path

from ds2.installation import needing


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a network, or go on with a run that stopped",
        description="Train a network by the settings in a TOML file, or go on with a run: "
        "killed at any moment, it ends with the weights it would have had.",
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="CONFIG.toml|RUN_DIR|CHECKPOINT",
        help="settings of a new run, or a run to go on with",
    )
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
    with needing("train", told="training"):
        from ds2.training.run.directory import prepare_run_directory
    if args.finish is None:  # torch takes seconds to load: what the settings have wrong comes first
        run_dir, config = prepare_run_directory(args.source, args.output, args.overrides)
        source = None
    with needing("train", told="training"):
        from ds2.training.run.finishing import prepare_finish
        from ds2.training.run.run import train
    if args.finish is not None:
        run_dir, config, source = prepare_finish(
            args.source, args.output, args.overrides, args.finish
        )
    signal_number = train(run_dir, config, source)
    return None if signal_number is None else 128 + signal_number
