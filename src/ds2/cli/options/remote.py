"""Recognition on a server, for `ds2 transcribe --server`."""

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
"""The environment variable with the server's key. All users of a host can see a command line."""


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a server."""
    parser.add_argument(
        "--server",
        metavar="URL",
        help="let this `ds2 serve` do the work, for example http://127.0.0.1:8000; -m then names a "
        f"model of the server; {KEY_VARIABLE} in the environment holds the API key (default: "
        "recognise here)",
    )


def transcribe_remotely(
    names: Sequence[str],
    args: argparse.Namespace,
    *,
    language: str | None = None,
    channels: "Channels" = "mix",
) -> "Iterator[tuple[int, Transcript | InputError]]":
    """The index and the transcript of each recording, or its error, in the order of the names.

    names: paths, or - for standard input. language: the language of the server's model.
    channels: how to use the channels of a recording.
    Raises InputError if the server cannot do the work at all.
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
    """Raise InputError for options that work only with a model on this computer."""
    given = [name for name in SETTINGS if hasattr(args, name)]
    given += [name for name in ("greedy", "lm", "no_lm", "raw") if getattr(args, name)]
    given += [name for name in ("arithmetic", "device") if computing_of(args)[name] != "auto"]
    if given:
        name = given[0].replace("_", "-")
        raise InputError(f"--server: the server chooses how to recognise: leave out --{name}")
