"""The `ds2` command: one module per verb, each thin."""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from ds2 import __version__
from ds2.errors import InputError

VERBS = (
    "transcribe",
    "listen",
    "serve",
    "info",
    "show",
    "evaluate",
    "align",
    "check",
    "corpus",
    "train",
    "export",
    "import_model",
    "lm",
    "bundle",
)
"""The modules of this package, in the order `ds2 --help` lists them."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; docs/cli.md is made from it."""
    parser = argparse.ArgumentParser(
        prog="ds2", description="Speech recognition for English and Mandarin."
    )
    parser.add_argument("--version", action="version", version=f"ds2 {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for verb in VERBS:
        importlib.import_module(f"ds2.cli.{verb}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 the input is wrong."""
    args = build_parser().parse_args(argv)
    try:
        status: int | None = args.run(args)
        sys.stdout.flush()  # here, where a full disk can still be told
        return status or 0
    except InputError as error:
        print(f"ds2: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ds2: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, say `head`, has enough
        _forget_output()
        return 141
    except OSError as error:  # a full disk, a network drive that went away
        where = f"{error.filename}: " if error.filename else ""
        print(f"ds2: {where}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        _forget_output()
        return 1


def _forget_output() -> None:
    """Let go of what cannot be written, or Python would complain of it once more at its exit."""
    with contextlib.suppress(OSError, ValueError):  # not every stdout is a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
