"""Options that say what the network computes with, which several commands share."""

import argparse
from typing import TypedDict

from ds2.model.computing import ARITHMETICS, DEVICES, Arithmetic, Device


class Computing(TypedDict):
    """Arguments of `Recognizer` and `Aligner`."""

    arithmetic: Arithmetic
    device: Device


def add_computing(
    parser: "argparse.ArgumentParser | argparse._ArgumentGroup", *, with_device: bool = True
) -> None:
    """Add the options. with_device: False where --device means something else."""
    parser.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        default="auto",
        help="of the network's large products; auto takes the faster one of those that are no less "
        "exact (auto)",
    )
    if with_device:
        parser.add_argument(
            "--device",
            dest="computing_device",
            choices=DEVICES,
            default="auto",
            help="where the network runs: on processor cores or on a graphics card; auto takes the "
            "card if the installed onnxruntime can use one (auto)",
        )


def computing_of(args: argparse.Namespace) -> Computing:
    """What the options say; auto where a command has none."""
    return {
        "arithmetic": getattr(args, "arithmetic", "auto"),
        "device": getattr(args, "computing_device", "auto"),
    }
