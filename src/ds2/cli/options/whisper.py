"""Options with the names that Whisper uses, because they mean the same here."""

import argparse
from typing import TYPE_CHECKING

from ds2.cli.screen.terminal import positive
from ds2.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from ds2.transcripts.transcript import LineShape

LANGUAGES = {"english": "en", "chinese": "zh", "mandarin": "zh"}
"""Language codes by name. Whisper accepts these names, too."""


def add_language(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the shipped model of a language."""
    parser.add_argument(
        "--language",
        type=_language,
        metavar="en|zh",
        help="language of the recordings; chooses the model where -m does not (default: the "
        "model's language)",
    )


def add_shape(group: "argparse._ArgumentGroup") -> None:
    """Add the options of subtitles and of words."""
    for name, meaning in (
        ("max-line-width", "most characters in a line (default: no limit)"),
        (
            "max-line-count",
            "most lines in a subtitle; needs --max-line-width (default: no limit)",
        ),
        ("max-words-per-line", "most words in a line (default: no limit)"),
    ):
        other = f"--{name.replace('-', '_')}"
        group.add_argument(f"--{name}", other, type=positive, metavar="N", help=meaning)
    group.add_argument(
        "--highlight-words",
        "--highlight_words",
        nargs="?",
        const=True,
        default=False,
        type=_is_true,
        metavar="True",
        help="underline each word at its time (default: False)",
    )
    group.add_argument(
        "--word-timestamps",
        "--word_timestamps",
        nargs="?",
        const=True,
        default=True,
        type=_is_true,
        metavar="False",
        help="write words with their times into JSON (default: True)",
    )


def shape_of(args: argparse.Namespace) -> "LineShape":
    """How the options shape subtitles and JSON. Raises InputError."""
    from ds2.transcripts.transcript import LineShape

    return LineShape(
        args.max_line_width,
        args.max_line_count,
        args.max_words_per_line,
        args.highlight_words,
        args.word_timestamps,
    )


def _language(text: str) -> str:
    """An argument that is a language of the shipped models."""
    code = LANGUAGES.get(text.lower(), text.lower())
    if code not in LANGUAGES.values():
        hint = did_you_mean(text, (*LANGUAGES, *LANGUAGES.values()))
        told = hint or ": en and zh have one; for another language name a model with -m"
        raise argparse.ArgumentTypeError(f"{text}: ds2 comes with no model of this language{told}")
    return code


def _is_true(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be True or False, not {text}")
    return text.lower() == "true"


def check_language(args: argparse.Namespace, language: str) -> None:
    """Raise InputError if the model's language is not the one of --language."""
    if args.language not in (None, language):
        raise InputError(
            f"--language {args.language}: the model {args.model} is for {language}: change one of "
            "them"
        )
