"""The actions of `ds2 lm` that write a model: build, convert."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.lm.queries import megabytes, new_table
from ds2.cli.screen.terminal import console, language, note, progress
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.ngram.build import Built

SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def add_build(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "build",
        help="build a language model from text",
        description="Read texts with one sentence on each line, and write a language model. ds2 "
        "uses interpolated modified Kneser-Ney smoothing, as KenLM's lmplz does.",
    )
    parser.add_argument(
        "texts",
        nargs="+",
        metavar="TEXT",
        help="text files in UTF-8, plain or .gz, or manifests (.jsonl); - is standard input",
    )
    add_output(parser)
    parser.add_argument(
        "--order",
        type=int,
        default=5,
        metavar="N",
        help="number of words in the longest n-grams (default: 5)",
    )
    parser.add_argument(
        "--language",
        type=language,
        default="en",
        metavar="CODE",
        help="language of the texts, such as en, zh, de or ru; ds2 normalises them accordingly "
        "(default: en)",
    )
    parser.add_argument(
        "--no-normalise",
        action="store_true",
        help="use the texts as they are; do not normalise them",
    )
    parser.add_argument(
        "--unit",
        choices=("word", "character"),
        help="unit of the model (default: word; character for zh, ja and other languages without "
        "spaces)",
    )
    parser.add_argument(
        "--held-out",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="texts or manifests that will test the model; ds2 leaves out their sentences "
        "(default: none)",
    )
    _add_estimation(parser)
    parser.set_defaults(act=_build)


def _add_estimation(parser: argparse.ArgumentParser) -> None:
    """Add the options of counting and smoothing."""
    parser.add_argument(
        "--prune",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="leave out n-grams that occur at most N times; one number for each order, and the "
        "last also counts for all higher orders (default: 0, which keeps all)",
    )
    parser.add_argument(
        "--vocabulary",
        type=int,
        metavar="N",
        help="number of words to keep, the most frequent ones (default: all)",
    )
    parser.add_argument(
        "--memory",
        default="2G",
        metavar="SIZE",
        help="memory for sorting, such as 500M; ds2 sorts on disk beyond it (default: 2G)",
    )
    parser.add_argument(
        "--discount-fallback",
        type=float,
        nargs="*",
        metavar="D",
        help="discounts for counts of 1, 2, and 3 or more, for a text too small to estimate them; "
        "without values they are 0.5 1 1.5 (default: refuse such a text)",
    )
    parser.add_argument(
        "--no-interpolate-unigrams",
        action="store_true",
        help="give the probability of unseen words to <unk>; do not share it among all words",
    )
    parser.add_argument(
        "--skip-blank-lines",
        action="store_true",
        help="leave out lines without words, which else count as empty sentences",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write the model to",
    )
    parser.add_argument(
        "--arpa",
        type=Path,
        metavar="FILE",
        help="also write the model as ARPA: .arpa, .arpa.gz (default: no)",
    )
    parser.add_argument(
        "--exact", action="store_true", help="store 32-bit numbers, not 16-bit codes"
    )


def _build(args: argparse.Namespace) -> None:
    from ds2.ngram.build import build_model
    from ds2.ngram.estimate import DEFAULT_FALLBACK, EstimateConfig
    from ds2.text.spacing import is_spaced

    fallback = args.discount_fallback
    if fallback is not None:
        given = (*fallback, *fallback[-1:] * (3 - len(fallback))) if fallback else DEFAULT_FALLBACK
        if len(given) != 3:
            raise InputError("--discount-fallback: takes at most three discounts")
        fallback = given
    try:
        config = EstimateConfig(
            args.order,
            tuple(args.prune),
            args.vocabulary,
            not args.no_interpolate_unigrams,
            fallback,
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    with progress() as report:
        built = build_model(
            args.texts,
            args.output,
            config,
            unit=args.unit or ("word" if is_spaced(args.language) else "character"),
            language=None if args.no_normalise else args.language,
            held_out=args.held_out,
            skip_blank=args.skip_blank_lines,
            exact=args.exact,
            arpa=args.arpa,
            memory=size_in_bytes(args.memory, "--memory"),
            report=report,
        )
    if built.num_blank > built.num_sentences / 100:
        share = 100 * built.num_blank / built.num_sentences
        note(
            f"{share:.0f}% of the lines have no words, and each counts as an empty sentence: "
            "--skip-blank-lines leaves them out"
        )
    if built.num_folded > built.num_sentences / 50:
        share = 100 * built.num_folded / built.num_sentences
        note(
            f"{share:.0f}% of the lines have letters that ds2 replaced by a to z, as for English: "
            "if the text is not English, name its language, such as --language de"
        )
    _print_built(args.output, built, args.held_out)


def _print_built(path: Path, built: "Built", held_out: Sequence[str]) -> None:
    table = new_table("order", "n-grams", "pruned", "D1", "D2", "D3+")
    for order, (count, unpruned, discounts) in enumerate(
        zip(built.counts, built.counts_unpruned, built.discounts, strict=True), 1
    ):
        shown = (f"{discount:.4f}" for discount in discounts)
        table.add_row(str(order), f"{count:,}", f"{unpruned - count:,}", *shown)
    console().print(table)
    if held_out:
        print(f"left out {built.num_held_out:,} lines, because they are in {', '.join(held_out)}")
    size = megabytes(path.stat().st_size)
    print(f"{path}: {size}, from {built.num_words:,} words in {built.num_sentences:,} sentences")


def add_convert(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "convert",
        help="convert an ARPA file to a model, or a model to ARPA",
        description="Read a model or an ARPA file (of KenLM, SRILM, IRSTLM and others), and write "
        "a model. If the name of the output contains .arpa, ds2 writes an ARPA file.",
    )
    parser.add_argument("source", type=Path, metavar="MODEL|ARPA", help="model to convert")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write the model to",
    )
    parser.add_argument(
        "--exact", action="store_true", help="store 32-bit numbers, not 16-bit codes"
    )
    parser.add_argument(
        "--unit",
        choices=("word", "character"),
        help="unit of the model (default: what its words look like)",
    )
    parser.add_argument(
        "--language",
        type=language,
        metavar="CODE",
        help="language for which its text was normalised (default: as the model says; an ARPA file "
        "has none)",
    )
    parser.set_defaults(act=_convert)


def _convert(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from ds2.ngram.arpa import write_arpa
    from ds2.ngram.columns import Workspace
    from ds2.ngram.model import NgramModel
    from ds2.ngram.writing import save_model

    model = NgramModel.load(args.source, args.unit)
    if ".arpa" in args.output.suffixes:
        write_arpa(args.output, model.levels(), model.vocabulary, Workspace())
        return
    facts = model.facts
    if args.unit or args.language:
        facts = replace(
            facts, unit=args.unit or facts.unit, language=args.language or facts.language
        )
    save_model(args.output, model.levels(), model.vocabulary, facts, Workspace(), exact=args.exact)


def size_in_bytes(text: str, option: str) -> int:
    """Bytes: "2G", "500M", "1.5G". Raises InputError that names the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", text.strip().upper())
    if not match or float(match[1]) == 0:
        raise InputError(f'{option}: "{text}": it must be a size such as 500M or 2G')
    return int(float(match[1]) * SIZE_UNITS[match[2]])
