"""What several commands share: progress on a terminal, numbers as arguments."""

import argparse
import sys
from collections.abc import Iterable
from typing import TypeVar

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


def positive(text: str) -> int:
    """An argument that is a whole number, at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text}")
    return int(text)
