"""`ds2 corpus alphabet`: writes the alphabet of a corpus, for training."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.screen.terminal import language, positive
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.spelling import Spelling

RARE = 5
"""A model hardly learns a character that occurs less often than this."""

MAX_NAMED = 20
"""Most characters of each kind that the report names."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "alphabet",
        help="make an alphabet from the texts of manifests",
        description="Read the texts of manifests in any language, and write an alphabet of their "
        "letters. The setting data.alphabet of a training run names this file. Digits and signs "
        "are not letters: ds2 lists them, so that you can write them in words.",
    )
    parser.add_argument(
        "manifests", type=Path, nargs="+", metavar="MANIFEST", help="manifests with the texts"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="ALPHABET.json",
        help="file to write the alphabet to",
    )
    parser.add_argument(
        "--language",
        type=language,
        metavar="CODE",
        help="language of the texts, such as de (default: as the manifests say)",
    )
    parser.add_argument(
        "--min-count",
        type=positive,
        default=1,
        metavar="N",
        help="leave out characters that occur fewer than N times (default: 1)",
    )
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> None:
    """Write the alphabet, and print what it holds and what it lacks."""
    from ds2.corpora.spelling import language_of_all, spelling_of
    from ds2.files import atomic_write
    from ds2.manifest import read_manifest

    utterances = [utterance for path in args.manifests for utterance in read_manifest(path)]
    spelling = spelling_of(utterances, args.language or language_of_all(utterances), args.min_count)
    if not spelling.counts:
        raise InputError(
            f"--min-count {args.min_count}: no character occurs that often: give a lower number"
        )
    with atomic_write(args.output) as file:
        json.dump(spelling.alphabet.to_dict(), file, ensure_ascii=False, indent=1)
        file.write("\n")
    _tell(spelling, args.output)


def _tell(spelling: "Spelling", output: Path) -> None:
    from ds2.text.alphabet import visible

    alphabet = spelling.alphabet
    print(f"{output}: language {alphabet.language}, {len(alphabet.symbols)} symbols: ", end="")
    print(visible(alphabet.symbols) if len(alphabet.symbols) <= 200 else "see the file")
    rare = [symbol for symbol, count in spelling.counts.items() if 0 < count < RARE]
    if rare:
        shown = ", ".join(f"{visible(c)} ({spelling.counts[c]})" for c in rare[:MAX_NAMED])
        more = f" and {len(rare) - MAX_NAMED} more" if len(rare) > MAX_NAMED else ""
        print(f"under {RARE} times: {shown}{more}: too rare to learn; --min-count leaves them out")
    for each in spelling.outside[:MAX_NAMED]:
        times = "once" if each.count == 1 else f"{each.count:,} times"
        print(f"not in it: {visible([each.character])}, {times}, the first in {each.where}")
    if len(spelling.outside) > MAX_NAMED:
        print(f"not in it: {len(spelling.outside) - MAX_NAMED} more characters")
    num_left = spelling.num_texts - spelling.num_spelt
    if num_left:
        print(
            f"the alphabet cannot spell {num_left:,} of {spelling.num_texts:,} texts: write digits "
            "and "
            'signs in words, or add characters to "symbols" in the file'
        )
