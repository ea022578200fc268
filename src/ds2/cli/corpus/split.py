"""`ds2 corpus split`: splits a corpus so that no speaker is in two splits."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.screen.terminal import console, make_directory, note
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.split import Amount, Kept, SplitRules, Splits


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "split",
        help="split manifests into train, dev and test by speaker",
        description="Read manifests, and write train.jsonl, dev.jsonl and test.jsonl. No speaker "
        "is in two of them, and their sizes are as near to the amounts as the speakers allow. The "
        "same utterances and seed always give the same splits. The order of the utterances does "
        "not matter.",
    )
    parser.add_argument(
        "manifests", type=Path, nargs="+", metavar="MANIFEST", help="manifests to split"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="directory for the splits"
    )
    for name in ("dev", "test"):
        parser.add_argument(
            f"--{name}",
            metavar="AMOUNT",
            help=f"size of {name}: a share (5%%), hours (2h) or utterances (500) (default: none)",
        )
    parser.add_argument(
        "--by",
        action="append",
        metavar="FIELD",
        help="keep equal values of this field in one split: speaker, text, recording, or any field "
        "of the manifests; may be repeated (default: speaker)",
    )
    parser.add_argument(
        "--texts",
        choices=("shared", "apart", "left-out"),
        default="shared",
        help="texts that occur in two splits: shared allows them; apart keeps all speakers of such "
        "a text in one split; left-out drops them from the larger splits (default: shared)",
    )
    parser.add_argument(
        "--balance",
        action="append",
        default=[],
        metavar="FIELD",
        help="keep the proportions of this field's values in each split; may be repeated "
        "(default: none)",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="directory of earlier splits, whose speakers keep their splits (default: none)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed for the choice (default: 0)"
    )
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> None:
    """Split, write and report."""
    from ds2.corpora.split import SPLITS, split
    from ds2.manifest import read_manifest, write_manifest

    rules = _rules(args)
    kept = _kept(args.keep) if args.keep else {}
    utterances = [utterance for path in args.manifests for utterance in read_manifest(path)]
    splits = split(utterances, rules, kept)
    make_directory(args.output)
    for name in SPLITS:
        # Other commands refuse an empty manifest.
        if splits.utterances[name]:
            write_manifest(
                args.output / f"{name}.jsonl", [i.utterance for i in splits.utterances[name]]
            )
    _print_table(splits, rules, args.output)
    _warn_of_few_speakers(splits, rules)


def _rules(args: argparse.Namespace) -> "SplitRules":
    from ds2.corpora.split import SplitRules

    amounts = {
        name: _amount(name, text)
        for name, text in (("dev", args.dev), ("test", args.test))
        if text is not None
    }
    if not amounts:
        raise InputError("--dev, --test: give the size of one or both, such as --dev 5%")
    try:
        return SplitRules(
            amounts, tuple(args.by or ("speaker",)), args.texts, tuple(args.balance), args.seed
        )
    except ValueError as error:
        raise InputError(str(error)) from None


def _amount(name: str, text: str) -> "Amount":
    from ds2.corpora.split import Amount

    try:
        return Amount.parse(text)
    except ValueError as error:
        raise InputError(f"--{name} {error}") from None


def _kept(directory: Path) -> "Kept":
    from ds2.corpora.split import SPLITS
    from ds2.manifest import read_manifest

    paths = {name: directory / f"{name}.jsonl" for name in SPLITS}
    kept = {name: read_manifest(path) for name, path in paths.items() if path.exists()}
    if not kept:
        raise InputError(f"--keep {directory}: has no train.jsonl, dev.jsonl or test.jsonl")
    return kept


def _warn_of_few_speakers(splits: "Splits", rules: "SplitRules") -> None:
    """Show a note if a model would learn only one voice."""
    speakers = {item.speaker for item in splits.utterances["train"]} - {None}
    num_all = len({i.speaker for items in splits.utterances.values() for i in items} - {None})
    if len(speakers) == 1 and num_all > 1 and "speaker" in rules.by:
        note(
            f"train has only the speaker {speakers.pop()} of {num_all}: a model of one voice does "
            "badly on all others: for few speakers use --by text, which puts each speaker in all "
            "splits and no text in two"
        )


def _print_table(splits: "Splits", rules: "SplitRules", directory: Path) -> None:
    from rich.table import Table

    from ds2.corpora.checks.corpus import Corpus, duration_s_of, statistics_of
    from ds2.corpora.checks.overlap import compare
    from ds2.corpora.split import SPLITS

    corpora = {
        name: Corpus(directory / f"{name}.jsonl", items, [])
        for name, items in splits.utterances.items()
    }
    seconds = {name: sum(map(duration_s_of, items)) for name, items in splits.utterances.items()}
    total_s = sum(seconds.values()) or 1.0
    table = Table("split", "utterances", "hours", "share", "asked", "speakers", "texts of train")
    for name in SPLITS:
        facts = statistics_of(corpora[name])
        shared = compare(corpora[name], corpora["train"])[0].num_same_text
        table.add_row(
            name,
            f"{facts.num_utterances:,}",
            f"{seconds[name] / 3600:.2f}",
            f"{seconds[name] / total_s:.1%}",
            str(rules.amounts.get(name, "the rest" if name == "train" else "-")),
            f"{facts.num_speakers:,}",
            "" if name == "train" else f"{shared:,}",
        )
    console().print(table)
    if splits.left_out:
        left_s = sum(map(duration_s_of, splits.left_out))
        print(
            f"left out because of their texts: {len(splits.left_out):,} utterances, "
            f"{left_s / 3600:.2f} h"
        )
