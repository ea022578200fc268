"""`ds2 bundle`: puts a language model into a bundle, or removes it."""

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
"""The setting of each option."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "bundle",
        help="put a language model into a bundle, or remove it",
        description="Change the language model of a bundle. The network stays as it is.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_add_lm(actions)
    _add_remove_lm(actions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    act: Callable[[argparse.Namespace], None] = args.act
    act(args)


def _add_add_lm(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "add-lm",
        help="copy a language model into a bundle",
        description="Copy a language model into a bundle. ds2 then decodes with it. Settings that "
        "you leave out keep the values in the bundle. `ds2 lm tune` finds better ones.",
    )
    parser.add_argument("model", metavar="MODEL", help="name or bundle of the model to change")
    parser.add_argument(
        "lm", type=Path, metavar="LM", help="language model: lm.bin or an ARPA file"
    )
    add_copy(parser)
    for name, form, metavar, meaning in (
        (
            "alpha",
            float,
            "X",
            "weight of the language model, 0 or more (default: the bundle's setting, else 0.5)",
        ),
        (
            "beta",
            float,
            "X",
            "bonus for each word, in Mandarin for each character, as a natural logarithm "
            "(default: the bundle's setting, else 1)",
        ),
        (
            "beam-width",
            positive,
            "N",
            "number of hypotheses to keep after each frame "
            "(default: the bundle's setting, else 100)",
        ),
        (
            "unknown-word-score",
            score_or_off,
            "X|off",
            "score of a word that the language model does not know, a natural logarithm of 0 or "
            "less; off forbids such words (default: the bundle's setting, else -10)",
        ),
    ):
        parser.add_argument(
            f"--{name}", type=form, default=argparse.SUPPRESS, metavar=metavar, help=meaning
        )
    parser.set_defaults(act=_add_lm)


def add_copy(parser: argparse.ArgumentParser) -> None:
    """Add the option that writes a changed copy and keeps the bundle as it is."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="BUNDLE",
        help="write a changed copy here and keep the bundle as it is; the models that come with "
        "ds2 need it (default: change the bundle)",
    )


def _add_lm(args: argparse.Namespace) -> None:
    from ds2.model.bundle import find_bundle
    from ds2.model.bundle_lm import add_lm

    path = find_bundle(args.model)
    print_lm(add_lm(path, args.lm, _settings(path, args), args.output))


def _settings(path: Path, args: argparse.Namespace) -> "BeamSettings":
    """The bundle's settings, or the defaults, with the changes that the arguments ask for."""
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
    """Print the language model that a bundle has now, and the settings of the search."""
    from ds2.cli.info import decoding_text, lm_text

    print(f"{bundle.path}: language model: {lm_text(bundle)}")
    if bundle.decoding is not None:
        print(f"decoding: {decoding_text(bundle.decoding)}")


def _add_remove_lm(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "remove-lm",
        help="remove the language model of a bundle",
        description="Delete the language model of a bundle and its settings. ds2 then decodes "
        "greedily with this bundle.",
    )
    parser.add_argument("model", metavar="MODEL", help="name or bundle of the model to change")
    add_copy(parser)
    parser.set_defaults(act=_remove_lm)


def _remove_lm(args: argparse.Namespace) -> None:
    from ds2.model.bundle import find_bundle
    from ds2.model.bundle_lm import remove_lm

    print_lm(remove_lm(find_bundle(args.model), args.output))
