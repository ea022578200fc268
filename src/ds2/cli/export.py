"""`ds2 export`: from a training run to a bundle that `ds2 transcribe` takes."""

import argparse
from pathlib import Path

from ds2.cli.screen.terminal import complain, note
from ds2.errors import InputError
from ds2.installation import needing
from ds2.model.computing import ARITHMETICS


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="make a bundle of a trained network",
        description="Write a trained network as a bundle, a directory that the runtime uses "
        "without torch. The exported graph is compared with the network first, whole and in "
        "chunks, and not written if a log-probability differs by more than 0.0001.",
    )
    parser.add_argument(
        "source", type=Path, metavar="RUN_DIR|CHECKPOINT", help="the trained network"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle to write"
    )
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last", "averaged"),
        help="which of the run's checkpoints (best; last, if the run has no best one yet)",
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="how weights are stored (float32)",
    )
    parser.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        default="auto",
        help="what the model computes in where its user asks for nothing: auto is int8 for int8 "
        "weights on processors with instructions for it, else float (auto)",
    )
    parser.add_argument(
        "--licence", default="unknown", help="of the model, kept in the bundle: a name"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and say what was written."""
    _check_paths(args.source, args.output)
    with needing("train", told="export"):
        from ds2.training.export import ParityError, checkpoint_to_export, export
    checkpoint_name = args.checkpoint
    if checkpoint_name is None and args.source.is_dir():
        checkpoint_name = checkpoint_to_export(args.source)
        if checkpoint_name == "last":
            note(
                f"{args.source}: was not evaluated yet, so no checkpoint is the best: "
                "exporting the last"
            )
    try:
        bundle = export(
            args.source,
            args.output,
            checkpoint_name=checkpoint_name,
            precision=args.weights,
            arithmetic=args.arithmetic,
            licence=args.licence,
        )
    except ParityError as error:
        complain(f"{args.source}: not exported: {error}: a fault of ds2")
        return 1
    size_mb = sum(path.stat().st_size for path in bundle.path.iterdir()) / 1e6
    print(f"{bundle.path}: {bundle.model.description}; {size_mb:.1f} MB")
    _tell_of_lm(bundle.path)
    return 0


def _check_paths(source: Path, target: Path) -> None:
    """Raise InputError for paths that cannot be right, before torch takes seconds to load."""
    from ds2.model.bundle import check_place

    if not source.is_file() and not (source / "checkpoints").is_dir():
        raise InputError(f"{source}: no checkpoint there, nor a run directory that holds one")
    check_place(target)


def _tell_of_lm(path: Path) -> None:
    """Say what became of a language model of the bundle that was there before."""
    from ds2.model.bundle import LM, load_bundle

    if load_bundle(path).lm is not None:
        print(f"{path / LM}: kept, with settings that fitted another network: `ds2 lm tune`")
    elif (path / LM).exists():
        print(
            f"{path / LM}: kept, but no part of the bundle any more, for it does not fit or is "
            "damaged: `ds2 bundle add-lm` or `ds2 bundle remove-lm`"
        )
