"""`ds2 train`: trains a network, or continues a run that stopped."""

import argparse
from pathlib import Path

from ds2.installation import needing


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a network, or continue a run that stopped",
        description="Train a network with the settings of a TOML file, and write checkpoints into "
        "the run's directory. Or continue a run: you may stop it at any moment, and it still ends "
        "with the same weights.",
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="CONFIG.toml|RUN_DIR|CHECKPOINT",
        help="settings for a new run, or a run to continue",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="RUN_DIR",
        help="directory for a new run (default: runs/CONFIG)",
    )
    parser.add_argument(
        "--finish",
        type=float,
        metavar="HOURS",
        help="end the run: lower the learning rate to 0 over this many more hours of audio; with "
        "-o ds2 does so in a new run, and you can still continue the old one (default: train on)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change a setting, such as training.learning_rate=3e-4, in a new or a continued run; "
        "may be repeated (default: none)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int | None:
    """Train. If a signal stopped the run, return 128 and the number of the signal."""
    with needing("train", told="training"):
        from ds2.training.run.directory import prepare_run_directory
    if args.finish is None:  # report wrong settings before torch loads, for seconds
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
