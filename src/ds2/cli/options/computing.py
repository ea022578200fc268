"""The options of arithmetic and device, which several commands share."""

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
    """Add the options. with_device: False if --device means something else in this command."""
    parser.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        default="auto",
        help="arithmetic of the network's large products; auto is the faster one on this processor "
        "that is no less exact (default: auto)",
    )
    if with_device:
        parser.add_argument(
            "--device",
            dest="computing_device",
            choices=DEVICES,
            default="auto",
            help="device that runs the network: processor cores or a graphics card; auto is the "
            "card if the installed onnxruntime can use one (default: auto)",
        )


def computing_of(args: argparse.Namespace) -> Computing:
    """The values of the options; auto if a command lacks an option."""
    return {
        "arithmetic": getattr(args, "arithmetic", "auto"),
        "device": getattr(args, "computing_device", "auto"),
    }
