"""What several commands share: messages, tables, progress on a terminal, numbers as arguments."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ds2.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from ds2.ngram.corpus import Report

T = TypeVar("T")
WIDEST = 100_000
"""Columns of what is no terminal: nothing is folded there."""

logger = logging.getLogger("ds2.cli")
CONTROLS = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160))}
"""Characters that move the cursor, or worse, as people write them."""
SHOWN = ("ds2.compilation", "ds2.audio", "ds2.ngram")
"""Other loggers whose messages are for the user."""


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Say what messages a command shows: with quiet no notes and no progress, with verbose all."""
    for each in (logger, *map(logging.getLogger, SHOWN)):  # serve puts its own log there
        each.handlers = [_Lines()]
        each.propagate = False
        each.setLevel("ERROR" if quiet else "DEBUG" if verbose else "INFO")


class _Lines(logging.Handler):
    """Log records as lines of the command, above whatever bar is on the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; a bar takes the place of sys.stderr while it is shown."""
        complain(record.getMessage())


def note(text: str) -> None:
    """Show a line on standard error that is good to know, but for --quiet."""
    logger.info("%s", text)


def detail(text: str) -> None:
    """Show a line on standard error with --verbose only."""
    logger.debug("%s", text)


def complain(problem: object) -> None:
    """Show on standard error, in one line, what is wrong."""
    print(f"ds2: {one_line(str(problem))}", file=sys.stderr, flush=True)


def complain_of_all(problems: Sequence[object], num_done: int, named: str) -> int:
    """Show what went wrong with some of many, and last how many these were; the exit status.

    num_done: of all that should have been done. named: what they are.
    """
    for problem in problems:
        complain(problem)
    if problems and num_done > 1:
        complain(f"{len(problems)} of {num_done} {named} failed")
    return 2 if problems else 0


def one_line(text: str) -> str:
    r"""The text without line ends and other control characters: \n, \x1b are written out.

    The names of files may hold them.
    """
    return text.translate(CONTROLS)


def say(text: str) -> None:
    """Say on standard output what was done, but for --quiet."""
    if logger.isEnabledFor(logging.INFO):
        print(text, flush=True)


def shows_progress() -> bool:
    """Whether somebody looks at progress bars: on a terminal, and not with --quiet."""
    return sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)


def console(*, stderr: bool = False) -> "Console":
    """Where tables and lines go: as wide as the terminal; where there is none, never folded."""
    from rich.console import Console

    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal else WIDEST
    return Console(stderr=stderr, width=width, highlight=False, emoji=False)


def tracked(items: Iterable[T], description: str, total: int) -> Iterable[T]:
    """The items, under a progress bar on standard error if that is a terminal."""
    if not shows_progress():
        return items
    from rich.progress import track

    return track(
        items,
        description=description,
        total=total,
        console=console(stderr=True),
        transient=True,
    )


@contextmanager
def progress() -> "Iterator[Report]":
    """What reports progress: a bar on standard error, if that is a terminal."""
    if not shows_progress():
        yield lambda _stage, _fraction: None
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("")

        def report(stage: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            progress.update(task, description=stage, completed=fraction or 0, total=total)

        yield report


@contextmanager
def counted(description: str, total: int | None) -> Iterator[Callable[[], object]]:
    """What counts one more thing done: a bar on standard error, if that is a terminal.

    Elsewhere there is no bar at all: some versions of rich end one that they hide with a line.
    """
    if not shows_progress():
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)


def positive(text: str) -> int:
    """An argument that is a whole number, at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text}")
    return int(text)


def language(text: str) -> str:
    """An argument that is a language's code."""
    from ds2.text.language import check_language

    try:
        return check_language(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def make_directory(directory: Path) -> None:
    """Make the directory that -o names. Raises InputError if it cannot be written to."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"-o {directory}: cannot be a directory: {reason}") from None
    if not os.access(directory, os.W_OK):
        raise InputError(f"-o {directory}: may not be written to: name another directory")
