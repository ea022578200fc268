"""Options of the search, which several commands share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.computing import computing_of
from ds2.cli.screen.terminal import detail, note, positive
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.audio import Channels
    from ds2.ctc.phrases import HotPhrase
    from ds2.recognition.recognizer import Recognizer

LONGEST_SHOWN = 60
"""Characters of a text in a message."""
SETTINGS = ("lm_weight", "word_bonus", "beam_width", "beam_threshold", "unknown_word_score")


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Add the options of the search. What is not given is as the bundle says."""
    group = parser.add_argument_group(
        "search", "Without these: as the bundle says; greedy if it holds no language model."
    )
    group.add_argument(
        "--greedy", action="store_true", help="the likeliest label of each frame, no search"
    )
    model = group.add_mutually_exclusive_group()
    model.add_argument(
        "--lm", type=Path, metavar="FILE", help="a language model in place of the bundle's"
    )
    model.add_argument("--no-lm", action="store_true", help="search without a language model")
    group.add_argument(
        "--alpha",
        "--lm-weight",
        dest="lm_weight",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help="weight of the language model",
    )
    group.add_argument(
        "--beta",
        "--word-bonus",
        dest="word_bonus",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help="bonus for each word, in Mandarin for each character",
    )
    group.add_argument(
        "--beam-width",
        type=positive,
        default=argparse.SUPPRESS,
        metavar="N",
        help="hypotheses kept from frame to frame",
    )
    group.add_argument(
        "--beam-threshold",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help="drop hypotheses so much below the best, in natural logarithms",
    )
    group.add_argument(
        "--unknown-word-score",
        type=score_or_off,
        default=argparse.SUPPRESS,
        metavar="X|off",
        help="what a word costs that the language model lacks, 0 or less; off: there are no others",
    )
    _add_phrases(group)


def _add_phrases(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--hot-phrase",
        action="append",
        default=[],
        metavar="TEXT[:WEIGHT]",
        help="words to be heard more readily, and by how much (5); may be repeated",
    )
    group.add_argument(
        "--hot-phrases", type=Path, metavar="FILE", help="the same from a file, a phrase a line"
    )


def load_recognizer(
    args: argparse.Namespace, *, num_threads: int = 1, num_alternatives: int = 0
) -> "Recognizer":
    """The recogniser that the options ask for. Raises InputError."""
    from dataclasses import replace

    from ds2.cli.info import decoding_text
    from ds2.ctc.settings import BeamSettings
    from ds2.model.bundle import find_bundle, load_bundle
    from ds2.recognition.recognizer import Recognizer

    bundle = load_bundle(find_bundle(args.model))
    given = {name: getattr(args, name) for name in SETTINGS if hasattr(args, name)}
    phrases = phrases_of(args)
    if args.greedy and (given or phrases or args.lm or args.no_lm or num_alternatives):
        raise InputError("--greedy: searches nothing: leave out the other options of the search")
    try:
        settings = replace(bundle.decoding or BeamSettings(), **given) if given else None
    except ValueError as error:
        raise InputError(str(error)) from None
    lm = args.lm or (bundle.lm_path if not args.no_lm else None)
    search = settings or bundle.decoding
    detail(f"model {bundle.path}: {bundle.language}, {bundle.model.description}")
    searches = not args.greedy and (lm or settings or phrases or num_alternatives)
    detail(f"search: {decoding_text(search or BeamSettings()) if searches else 'greedy'}")
    detail(f"language model: {'none' if args.greedy or lm is None else lm}")
    recognizer = Recognizer(
        bundle,
        num_threads,
        greedy=args.greedy,
        lm=args.lm or not args.no_lm,
        settings=settings,
        phrases=phrases,
        num_alternatives=num_alternatives,
        **computing_of(args),
    )
    detail(f"arithmetic: {recognizer.computing}")
    return recognizer


def tell_why_empty(
    recognizer: "Recognizer", args: argparse.Namespace, name: str, channels: "Channels"
) -> None:
    """Say so if it is the search that leaves a recording without text, and not the recording.

    It is read once more, without a search: few recordings have no text.
    """
    from ds2.recognition.recognizer import Recognizer

    if not recognizer.searches:
        return
    greedy = Recognizer(recognizer.bundle, greedy=True, **computing_of(args))
    track = getattr(args, "track", None)
    text = greedy.transcribe(Path(name), track=track, channels=channels).text
    if text:
        given = [
            f"--{each.replace('_', '-')} {getattr(args, each)}" for each in SETTINGS if each in args
        ]
        given += [f"--lm {args.lm}"] if args.lm else []
        given += ["the hot phrases"] if args.hot_phrase or args.hot_phrases else []
        reason = " and ".join(given) or "the search of the model"
        shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
        note(f'{name}: {reason} left no text: --greedy reads "{shown}"')


def phrases_of(args: argparse.Namespace) -> "list[HotPhrase]":
    """The hot phrases that the options name. Raises InputError."""
    phrases = [_phrase(text, "--hot-phrase") for text in args.hot_phrase]
    return phrases + (_phrases_in(args.hot_phrases) if args.hot_phrases else [])


def score_or_off(text: str) -> float | None:
    """An argument that is a number, or None for "off"."""
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or off, not {text}") from None


def _phrase(text: str, where: str) -> "HotPhrase":
    from ds2.ctc.phrases import HotPhrase

    phrase, colon, weight = text.rpartition(":")
    if not colon:
        return HotPhrase(text)
    try:
        return HotPhrase(phrase, float(weight))
    except ValueError:
        raise InputError(
            f'{where}: "{text}": after the colon must stand a weight, say {phrase}:5'
        ) from None


def _phrases_in(path: Path) -> "list[HotPhrase]":
    """A phrase a line; empty lines, and those that begin with #, are left out."""
    from ds2.files import read_text

    lines = read_text(path).splitlines()
    return [
        _phrase(line.strip(), f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
