"""`ds2 export`: makes a bundle from a training run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.screen.terminal import complain, note
from ds2.errors import InputError
from ds2.installation import needing
from ds2.model.computing import ARITHMETICS

if TYPE_CHECKING:
    from ds2.model.bundle import Bundle


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="make a bundle from a trained network",
        description="Read a checkpoint of a training run, and write a bundle, which ds2 uses "
        "without torch. First ds2 compares the exported graph with the network, on whole input and "
        "in chunks. It writes nothing if a log-probability differs by more than 0.0001. If the "
        "run began with a bundle of the same language, a new bundle gets its language model.",
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="RUN_DIR|CHECKPOINT",
        help="the run or the checkpoint to export",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle to write"
    )
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last", "averaged"),
        help="checkpoint of the run to export (default: best, or last if the run has no best one "
        "yet)",
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="number type of the stored weights (default: float32)",
    )
    parser.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        default="auto",
        help="arithmetic that the model uses if its user asks for none; auto is int8 for int8 "
        "weights on processors with instructions for it, else float (default: auto)",
    )
    parser.add_argument(
        "--with-network",
        action="store_true",
        help="also write the weights with batch norm, for training.init_from: network.safetensors, "
        "2 bytes a weight (default: no)",
    )
    parser.add_argument(
        "--licence",
        default="unknown",
        help="name of the model's licence, for the bundle (default: unknown)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, and print the facts about the bundle."""
    _check_paths(args.source, args.output)
    with needing("train", told="export"):
        from ds2.training.export import ParityError, checkpoint_to_export, export
    from ds2.model.bundle import LM

    checkpoint_name = args.checkpoint
    if checkpoint_name is None and args.source.is_dir():
        checkpoint_name = checkpoint_to_export(args.source)
        if checkpoint_name == "last":
            note(
                f"{args.source}: the run has no evaluation yet, so no checkpoint is the best: "
                "exporting the last"
            )
    had_lm = (args.output / LM).exists()
    try:
        bundle = export(
            args.source,
            args.output,
            checkpoint_name=checkpoint_name,
            precision=args.weights,
            arithmetic=args.arithmetic,
            licence=args.licence,
            with_network=args.with_network,
        )
    except ParityError as error:
        complain(f"{args.source}: not exported: {error}: this is a fault of ds2: please report it")
        return 1
    print(f"{bundle.path}: {bundle.model.description}; {bundle.num_bytes / 1e6:.1f} MB")
    _tell_of_lm(bundle, had_lm)
    return 0


def _check_paths(source: Path, target: Path) -> None:
    """Raise InputError for wrong paths, before torch loads, for seconds."""
    from ds2.model.bundle import check_place

    if not source.is_file() and not (source / "checkpoints").is_dir():
        raise InputError(f"{source}: is neither a checkpoint nor a run directory that holds one")
    check_place(target)


def _tell_of_lm(bundle: "Bundle", had_lm: bool) -> None:
    """Print where the language model comes from: an earlier bundle there, or the run's beginning.

    had_lm: whether the directory of the bundle had a language model before the export.
    """
    from ds2.model.bundle import LM, load_bundle

    path = bundle.path / LM
    if load_bundle(bundle.path).lm is None and path.exists():
        print(
            f"{path}: kept, but not used, because it is damaged or does not fit: run "
            "`ds2 bundle add-lm` or `ds2 bundle remove-lm`"
        )
    elif path.exists():
        whence = "kept" if had_lm else "from the model that the run began with"
        print(f"{path}: {whence}, but its settings fit another network: run `ds2 lm tune`")
