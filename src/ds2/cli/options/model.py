"""The option that names the model, which most commands have."""

import argparse
import sys

from ds2.model.places import DEFAULT_MODEL

HELP = "a bundle's directory, or a name that `ds2 models` lists (en; for Mandarin, zh)"


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option; left out, it is the English model."""
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, metavar="MODEL", help=HELP)


def default_model() -> str:
    """The model that is taken where none is named; on a terminal, the user is told."""
    if sys.stderr.isatty():
        print(
            f"ds2: the model is {DEFAULT_MODEL}, for English; -m zh is for Mandarin",
            file=sys.stderr,
        )
    return DEFAULT_MODEL


def mandarin_advice(text: str, language: str) -> str:
    """What to do about Chinese characters that a model of this language cannot write, or ""."""
    is_chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
    return "-m zh is the model for Mandarin" if is_chinese and language == "en" else ""
