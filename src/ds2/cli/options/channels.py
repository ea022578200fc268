"""The option that says which channels of a recording are heard, and how."""

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
        help="what to hear of a recording with several channels: their mix; each apart, with its "
        "speaker in the output (calls with a speaker on each); or channel N alone, from 1 (mix)",
    )


def channels_of(args: argparse.Namespace) -> "Channels":
    """What the option says. Raises InputError where it may mean what it meant before."""
    if args.raw and args.raw_channels is None and args.channels not in (None, "mix", 1):
        raise InputError(
            f"--channels {args.channels}: says what to hear: say with --raw-channels how many "
            "channels the samples have"
        )
    channels: Channels = args.channels or "mix"
    return channels


def _channels(text: str) -> "Channels":
    if text in ("mix", "split"):
        return text  # type: ignore[return-value]
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be mix, split or a number from 1 on, not {text}")
    return int(text)
