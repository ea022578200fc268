"""The option that names the model. Most commands have it."""

import argparse
import sys

from ds2.model.places import DEFAULT_MODEL

HELP = (
    "model to use: a name that `ds2 models` lists, or a bundle's directory; zh is for Mandarin "
    "(default: en)"
)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option. Its default is the English model."""
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, metavar="MODEL", help=HELP)


def default_model() -> str:
    """The model for a user who names none. On a terminal, this prints a note about it."""
    if sys.stderr.isatty():
        print(
            f"ds2: using the model {DEFAULT_MODEL} for English; -m zh is for Mandarin",
            file=sys.stderr,
        )
    return DEFAULT_MODEL


def mandarin_advice(text: str, language: str) -> str:
    """Advice for Chinese characters that a model of this language cannot write, or ""."""
    is_chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
    return "-m zh is the model for Mandarin" if is_chinese and language == "en" else ""
