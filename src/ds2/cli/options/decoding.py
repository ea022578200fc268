"""Options of the search. Several commands share them."""

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
SETTINGS = (
    "lm_weight",
    "word_bonus",
    "prior_weight",
    "beam_width",
    "beam_threshold",
    "unknown_word_score",
)


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Add the options of the search. Each defaults to the value in the bundle."""
    group = parser.add_argument_group(
        "search",
        "Without these options ds2 takes the settings in the model's bundle. If the "
        "bundle has no language model, ds2 decodes greedily.",
    )
    group.add_argument(
        "--greedy",
        action="store_true",
        help="take the likeliest label of each frame; do not search",
    )
    model = group.add_mutually_exclusive_group()
    model.add_argument(
        "--lm",
        type=Path,
        metavar="FILE",
        help="language model to use: lm.bin or an ARPA file (default: the model's own)",
    )
    model.add_argument("--no-lm", action="store_true", help="search without a language model")
    group.add_argument(
        "--alpha",
        "--lm-weight",
        dest="lm_weight",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help="weight of the language model, 0 or more (default: the model's setting, else 0.5)",
    )
    group.add_argument(
        "--beta",
        "--word-bonus",
        dest="word_bonus",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help="bonus for each word, in Mandarin for each character, as a natural logarithm "
        "(default: the model's setting, else 1)",
    )
    group.add_argument(
        "--prior-weight",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help="how much of the labels' priors a search with a language model divides out, from 0 to "
        "1 (default: the model's setting, else 0)",
    )
    _add_beam(group)
    _add_phrases(group)


def _add_beam(group: argparse._ArgumentGroup) -> None:
    """Add the options of the beam."""
    group.add_argument(
        "--beam-width",
        type=positive,
        default=argparse.SUPPRESS,
        metavar="N",
        help="number of hypotheses to keep after each frame (default: the model's setting, else "
        "100)",
    )
    group.add_argument(
        "--beam-threshold",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help="drop hypotheses whose score is this far below the best, as a natural logarithm "
        "(default: the model's setting, else 16)",
    )
    group.add_argument(
        "--unknown-word-score",
        type=score_or_off,
        default=argparse.SUPPRESS,
        metavar="X|off",
        help="score of a word that the language model does not know, a natural logarithm of 0 or "
        "less; off forbids such words (default: the model's setting, else -10)",
    )


def _add_phrases(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--hot-phrase",
        action="append",
        default=[],
        metavar="TEXT[:WEIGHT]",
        help="phrase to recognise more readily; WEIGHT is a natural logarithm and is 5 if you "
        "leave it out; may be repeated (default: none)",
    )
    group.add_argument(
        "--hot-phrases",
        type=Path,
        metavar="FILE",
        help="file with one TEXT[:WEIGHT] on each line (default: none)",
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
        raise InputError("--greedy: does not search: leave out the other options of the search")
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
    """Show a note if a recording has no text because of the search.

    This reads the recording once more, without a search. Few recordings have no text.
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
            f'{where}: "{text}": write a number after the colon, such as {phrase}:5'
        ) from None


def _phrases_in(path: Path) -> "list[HotPhrase]":
    """The phrases of a file, one on each line. Skips empty lines and lines that begin with #."""
    from ds2.files import read_text

    lines = read_text(path).splitlines()
    return [
        _phrase(line.strip(), f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
