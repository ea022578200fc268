"""The `ds2` command: one module per verb, each thin."""

import argparse
import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from ds2 import __version__
from ds2.cli.screen.interruption import acknowledging_interrupts
from ds2.cli.screen.parser import Parser
from ds2.cli.screen.streams import open_streams
from ds2.cli.screen.terminal import complain, set_verbosity
from ds2.errors import InputError

VERBS = (
    "transcribe",
    "listen",
    "serve",
    "info",
    "models",
    "show",
    "evaluate",
    "align",
    "check",
    "corpus",
    "train",
    "export",
    "import",
    "lm",
    "bundle",
    "warm-up",
    "completion",
)
"""The commands, in the order `ds2 --help` lists them."""
MODULES = {"import": "import_model", "warm-up": "warm_up"}
"""Module names for commands whose own name cannot be a module name."""
INTERRUPTED = 130
"""The exit status that shells give to a command that Ctrl-C ended."""


def build_parser(verbs: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The parser of all verbs or of some. docs/make_pages.py writes the reference from it."""
    parser = Parser(prog="ds2", description="Speech recognition for English and Mandarin.")
    parser.add_argument("-V", "--version", action="version", version=f"ds2 {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for verb in verbs:
        importlib.import_module(f"ds2.cli.{MODULES.get(verb, verb)}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 wrong input."""
    open_streams()
    words = sys.argv[1:] if argv is None else argv
    if "_ARGCOMPLETE" in os.environ:  # the shell asks which words can come next
        importlib.import_module("ds2.cli.completion").complete(build_parser())
    with acknowledging_interrupts() as was_interrupted:
        try:
            status = _run(words)
        except Exception:
            if was_interrupted():  # a library turned the interrupt into an error of its own
                return INTERRUPTED
            raise
    return INTERRUPTED if status and was_interrupted() else status


def _run(words: Sequence[str]) -> int:
    try:
        # Many commands run faster than Python could make the parsers of all other verbs.
        args = build_parser(words[:1] if words and words[0] in VERBS else VERBS).parse_args(words)
        set_verbosity(quiet="quiet" in args, verbose="verbose" in args)
        status: int | None = args.run(args)
        sys.stdout.flush()  # here, where the command can still report a full disk
        return status or 0
    except InputError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:  # the user has seen the message already
        return INTERRUPTED
    except BrokenPipeError:  # the reader, for example `head`, has ended
        _forget_output()
        return 141
    except UnicodeEncodeError as error:  # the name of a file, under a locale without UTF-8
        name = ascii(error.object)[1:-1]
        complain(f"{name}: the system's encoding {error.encoding} cannot hold this name")
        return 2
    except OSError as error:  # a full disk, a network drive that went away
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{(error.strerror or str(error)).lower()}")
        _forget_output()
        return 2 if error.errno == errno.ENAMETOOLONG else 1


def _forget_output() -> None:
    """Drop output that cannot be written. Python would complain about it again at its exit."""
    with contextlib.suppress(OSError, ValueError):  # not every stdout is a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
