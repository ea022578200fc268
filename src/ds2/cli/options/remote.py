"""Recognising on a server: what `ds2 transcribe --server` does instead of loading a model."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.computing import computing_of
from ds2.cli.options.decoding import SETTINGS, phrases_of
from ds2.errors import InputError
from ds2.installation import needing

if TYPE_CHECKING:
    from ds2.audio import Channels, Source
    from ds2.transcripts.transcript import Transcript

KEY_VARIABLE = "DS2_API_KEY"
"""Of the environment: the server's key. On the command line all users of a host would see it."""


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a server."""
    parser.add_argument(
        "--server",
        metavar="URL",
        help="let a `ds2 serve` do it, say http://127.0.0.1:8000; -m is then a name that it knows, "
        f"and may be left out; its API key is taken from {KEY_VARIABLE} in the environment",
    )


def transcribe_remotely(
    names: Sequence[str],
    args: argparse.Namespace,
    *,
    language: str | None = None,
    channels: "Channels" = "mix",
) -> "Iterator[tuple[int, Transcript | InputError]]":
    """Each recording's index and transcript, or what is wrong with it, in their order.

    names: paths, or - for standard input. language: what the server's model is to be of.
    channels: what to hear of a recording with several.
    Raises InputError if the server cannot do it at all.
    """
    import asyncio

    with needing("client", told="--server"):
        from ds2.client import ServerError, transcribe

    _refuse_local_options(args)
    options = {
        "api_key": os.environ.get(KEY_VARIABLE),
        "model": args.model,
        "language": language,
        "phrases": phrases_of(args),
        "num_alternatives": args.alternatives - 1,
        "track": getattr(args, "track", None),
        "channels": channels,
    }
    for index, name in enumerate(names):
        source: Source = sys.stdin.buffer if name == "-" else Path(name)
        try:
            transcript = asyncio.run(transcribe(args.server, source, **options))
        except InputError as error:
            yield index, error
        except ServerError as error:
            raise InputError(f"--server: {error}") from None
        else:
            yield index, transcript


def _refuse_local_options(args: argparse.Namespace) -> None:
    """Raise InputError for options that only a model of the user's own could follow."""
    given = [name for name in SETTINGS if hasattr(args, name)]
    given += [name for name in ("greedy", "lm", "no_lm", "raw") if getattr(args, name)]
    given += [name for name in ("arithmetic", "device") if computing_of(args)[name] != "auto"]
    if given:
        name = given[0].replace("_", "-")
        raise InputError(f"--server: decides itself how to recognise: leave out --{name}")
