"""What several commands share: progress on a terminal, numbers as arguments."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.ngram.corpus import Report

T = TypeVar("T")


def tracked(items: Iterable[T], description: str, total: int) -> Iterable[T]:
    """The items, under a progress bar on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    return track(
        items,
        description=description,
        total=total,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def progress() -> "Iterator[Report]":
    """What reports progress: a bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _stage, _fraction: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")

        def report(stage: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            progress.update(task, description=stage, completed=fraction or 0, total=total)

        yield report


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
