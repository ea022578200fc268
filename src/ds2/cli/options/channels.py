"""The option that chooses the channels of a recording."""

import argparse
from typing import TYPE_CHECKING

from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.audio import Channels


def add_channels(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--channels",
        type=_channels,
        metavar="mix|split|N",
        help="how to use the channels of a recording: mix them; split them, so that each is a "
        "speaker in the output (for calls); or use channel N alone, counted from 1 (default: mix)",
    )


def channels_of(args: argparse.Namespace) -> "Channels":
    """The value of the option.

    Raises InputError where a user of an older ds2 may mean the number of channels of --raw.
    """
    if args.raw and args.raw_channels is None and args.channels not in (None, "mix", 1):
        raise InputError(
            f"--channels {args.channels}: chooses the channels to recognise: give the number of "
            "channels of the samples with --raw-channels"
        )
    channels: Channels = args.channels or "mix"
    return channels


def _channels(text: str) -> "Channels":
    from ds2.audio.channels import read_channels

    try:
        return read_channels(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
