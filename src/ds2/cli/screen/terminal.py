"""Parts of several commands: messages, tables, progress on a terminal, types of arguments."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ds2.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from ds2.ngram.corpus import Report

T = TypeVar("T")
WIDEST = 100_000
"""Columns without a terminal, so that no line is folded."""

logger = logging.getLogger("ds2.cli")
CONTROLS = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160))}
"""Escapes for characters that would move the cursor or change the terminal."""
SHOWN = ("ds2.compilation", "ds2.audio", "ds2.ngram")
"""Other loggers with messages for the user."""


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Choose the messages of a command: quiet hides notes and progress, verbose shows all."""
    for each in (logger, *map(logging.getLogger, SHOWN)):  # `ds2 serve` adds its own log
        each.handlers = [_Lines()]
        each.propagate = False
        each.setLevel("ERROR" if quiet else "DEBUG" if verbose else "INFO")


class _Lines(logging.Handler):
    """Prints log records as lines of the command, above any progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record. A visible bar replaces sys.stderr and prints above itself."""
        complain(record.getMessage())


def note(text: str) -> None:
    """Show a note on standard error, except with --quiet."""
    logger.info("%s", text)


def detail(text: str) -> None:
    """Show a line on standard error, only with --verbose."""
    logger.debug("%s", text)


def complain(problem: object) -> None:
    """Show a problem on standard error, in one line."""
    with suppress(OSError):  # a full disk behind 2> must not end the work
        print(f"ds2: {one_line(str(problem))}", file=sys.stderr, flush=True)


def complain_of_all(problems: Sequence[object], num_done: int, named: str) -> int:
    """Show all problems and then their number, and return the exit status.

    num_done: the number of all inputs. named: what ds2 calls the inputs, in the plural.
    """
    for problem in problems:
        complain(problem)
    if problems and num_done > 1:
        complain(f"{len(problems)} of {num_done} {named} failed")
    return 2 if problems else 0


def one_line(text: str) -> str:
    r"""The text with escapes such as \n and \x1b for line ends and other control characters.

    File names may hold them.
    """
    return text.translate(CONTROLS)


def say(text: str) -> None:
    """Print a result on standard output, except with --quiet."""
    if logger.isEnabledFor(logging.INFO):
        print(text, flush=True)


def shows_progress() -> bool:
    """Whether to show progress bars: on a terminal, and not with --quiet."""
    return sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)


def console(*, stderr: bool = False) -> "Console":
    """A console as wide as the terminal. Without a terminal, it never folds lines."""
    from rich.console import Console

    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal else WIDEST
    return Console(stderr=stderr, width=width, highlight=False, emoji=False)


def tracked(items: Iterable[T], description: str, total: int) -> Iterable[T]:
    """The items, under a progress bar if standard error is a terminal."""
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
    """Give a function that reports progress, with a bar if standard error is a terminal."""
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
    """Give a function that counts one more item, with a bar if standard error is a terminal.

    Without a terminal there is no bar, because some versions of rich end a hidden bar with a line.
    """
    if not shows_progress():
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)


def positive(text: str) -> int:
    """The type of an argument that is a whole number from 1 on."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text}")
    return int(text)


def language(text: str) -> str:
    """The type of an argument that is the code of a language."""
    from ds2.text.language import check_language

    try:
        return check_language(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def make_directory(directory: Path) -> None:
    """Make the directory that -o names. Raises InputError if nobody can write to it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"-o {directory}: cannot be a directory: {reason}: name another directory"
        ) from None
    if not os.access(directory, os.W_OK):
        raise InputError(f"-o {directory}: may not be written to: name another directory")
