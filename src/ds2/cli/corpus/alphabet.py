"""`ds2 corpus alphabet`: the characters that a corpus is spelt in, to train on and to look at."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.screen.terminal import language, positive
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.spelling import Spelling

RARE = 5
"""A character seen less often than this is hardly learnt."""

MAX_NAMED = 20
"""Characters that are named of each kind."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "alphabet",
        help="make the alphabet of a language from the texts of manifests",
        description="Write the letters that the texts of manifests are spelt in, as a file that "
        "data.alphabet of a training run names. It is for any language and script. Digits and "
        "signs are no letters: they are named, to be written as they are said.",
    )
    parser.add_argument(
        "manifests", type=Path, nargs="+", metavar="MANIFEST", help="texts to take the letters from"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="ALPHABET.json",
        help="the alphabet to write",
    )
    parser.add_argument(
        "--language", type=language, metavar="CODE", help="of the texts (as the manifests say)"
    )
    parser.add_argument(
        "--min-count",
        type=positive,
        default=1,
        metavar="N",
        help="leave out characters that stand there less often (1)",
    )
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> None:
    """Collect, write, and say what is in it and what is not."""
    from ds2.corpora.spelling import language_of_all, spelling_of
    from ds2.files import atomic_write
    from ds2.manifest import read_manifest

    utterances = [utterance for path in args.manifests for utterance in read_manifest(path)]
    spelling = spelling_of(utterances, args.language or language_of_all(utterances), args.min_count)
    if not spelling.counts:
        raise InputError(f"--min-count {args.min_count}: no character stands there so often")
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
        print(f"under {RARE} times: {shown}{more}: hardly learnt; --min-count leaves them out")
    for each in spelling.outside[:MAX_NAMED]:
        times = "once" if each.count == 1 else f"{each.count:,} times"
        print(f"not in it: {visible([each.character])}, {times}, the first in {each.where}")
    if len(spelling.outside) > MAX_NAMED:
        print(f"not in it: {len(spelling.outside) - MAX_NAMED} more characters")
    num_left = spelling.num_texts - spelling.num_spelt
    if num_left:
        print(
            f"{num_left:,} of {spelling.num_texts:,} texts cannot be spelt in it: write digits and "
            'signs as they are said, or add what you want to "symbols" in the file'
        )
