"""`ds2 bundle`: put a language model into a bundle, or take it out."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.decoding import score_or_off
from ds2.cli.screen.terminal import positive
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.ctc.settings import BeamSettings
    from ds2.model.bundle import Bundle

SETTINGS = {
    "alpha": "lm_weight",
    "beta": "word_bonus",
    "beam_width": "beam_width",
    "unknown_word_score": "unknown_word_score",
}
"""The settings that arguments stand for."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "bundle",
        help="put a language model into a model, or take it out",
        description="Change what a bundle holds beside its network.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_add_lm(actions)
    _add_remove_lm(actions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Do what the action says."""
    act: Callable[[argparse.Namespace], None] = args.act
    act(args)


def _add_add_lm(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "add-lm",
        help="copy a language model into a bundle",
        description="Copy a language model into a bundle, which then decodes with it. Settings "
        "that are not given stay as they are, or are the defaults; `ds2 lm tune` finds better "
        "ones.",
    )
    parser.add_argument("model", metavar="MODEL", help="a bundle's directory, or en, zh")
    parser.add_argument("lm", type=Path, metavar="LM", help="lm.bin, or an ARPA file")
    add_copy(parser)
    for name, form, metavar, meaning in (
        ("alpha", float, "X", "weight of the language model"),
        ("beta", float, "X", "bonus for each word, in Mandarin for each character"),
        ("beam-width", positive, "N", "hypotheses kept from frame to frame"),
        (
            "unknown-word-score",
            score_or_off,
            "X|off",
            "what a word costs that the language model lacks, 0 or less; off: there are no others",
        ),
    ):
        parser.add_argument(
            f"--{name}", type=form, default=argparse.SUPPRESS, metavar=metavar, help=meaning
        )
    parser.set_defaults(act=_add_lm)


def add_copy(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves a bundle as it is and writes a changed copy."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="BUNDLE",
        help="write a changed copy, and leave the bundle as it is; one that comes with ds2 is "
        "never changed",
    )


def _add_lm(args: argparse.Namespace) -> None:
    from ds2.model.bundle import find_bundle
    from ds2.model.bundle_lm import add_lm

    path = find_bundle(args.model)
    print_lm(add_lm(path, args.lm, _settings(path, args), args.output))


def _settings(path: Path, args: argparse.Namespace) -> "BeamSettings":
    """The bundle's settings, or the defaults, changed as the arguments say."""
    from dataclasses import replace

    from ds2.ctc.settings import BeamSettings
    from ds2.model.bundle import load_bundle

    given = {SETTINGS[name]: value for name, value in vars(args).items() if name in SETTINGS}
    settings = load_bundle(path, verify_lm_header=False).decoding or BeamSettings()
    try:
        return replace(settings, **given)
    except ValueError as error:
        raise InputError(str(error)) from None


def print_lm(bundle: "Bundle") -> None:
    """Say what language model a bundle has now, and how it decodes."""
    from ds2.cli.info import decoding_text, lm_text

    print(f"{bundle.path}: language model: {lm_text(bundle)}")
    if bundle.decoding is not None:
        print(f"decoding: {decoding_text(bundle.decoding)}")


def _add_remove_lm(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "remove-lm",
        help="take the language model out of a bundle",
        description="Delete a bundle's language model and its settings; it decodes greedily then.",
    )
    parser.add_argument("model", metavar="MODEL", help="a bundle's directory, or en, zh")
    add_copy(parser)
    parser.set_defaults(act=_remove_lm)


def _remove_lm(args: argparse.Namespace) -> None:
    from ds2.model.bundle import find_bundle
    from ds2.model.bundle_lm import remove_lm

    print_lm(remove_lm(find_bundle(args.model), args.output))
