"""`ds2 lm prune`: makes a model smaller, at the least loss."""

import argparse
import math
from functools import partial
from pathlib import Path

from ds2.cli.lm.build import add_output, size_in_bytes
from ds2.cli.lm.queries import megabytes, new_table
from ds2.cli.screen.terminal import console
from ds2.errors import InputError


def add_prune(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "prune",
        help="make a model smaller: leave out the n-grams that matter least",
        description="Read a model, leave out the n-grams that change its predictions least, and "
        "write a smaller model. All words stay. SRILM's `ngram -prune` chooses in the same way.",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="language model: lm.bin or an ARPA file"
    )
    add_output(parser)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--size",
        metavar="SIZE",
        help="largest size of the file, such as 6.8M; ds2 keeps as many n-grams as fit (default: "
        "none; give this or --threshold)",
    )
    choice.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="leave out n-grams without which the perplexity grows by less than this share, such "
        "as 1e-8 (default: what --size needs)",
    )
    parser.set_defaults(act=_prune)


def _prune(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from ds2.ngram.arpa import write_arpa
    from ds2.ngram.columns import Workspace
    from ds2.ngram.model import NgramModel
    from ds2.ngram.pruning import EntropyPruner
    from ds2.ngram.writing import file_size, save_model

    model = NgramModel.load(args.model)
    levels, vocabulary = model.levels(), model.vocabulary
    pruner = EntropyPruner(levels)
    threshold = args.threshold
    if threshold is None:
        size_of = partial(file_size, vocabulary=vocabulary, level=levels[0], exact=args.exact)
        num_bytes = size_in_bytes(args.size, "--size")
        threshold = pruner.threshold_for(num_bytes, size_of)
        if threshold is None:
            raise InputError(
                f"--size: {args.size}: the words of {args.model} alone need more: build it with a "
                "smaller --vocabulary"
            )
    elif not 0 <= threshold < math.inf:
        raise InputError(f"--threshold: {threshold}: it must be 0 or more")
    smaller = pruner.pruned(threshold)
    facts = replace(model.facts, origin={**model.facts.origin, "pruned below": threshold})
    save_model(args.output, smaller, vocabulary, facts, Workspace(), exact=args.exact)
    if args.arpa is not None:
        write_arpa(args.arpa, smaller, vocabulary, Workspace())
    result = NgramModel.load(args.output)
    table = new_table("order", "n-grams", "pruned")
    for order, (count, before) in enumerate(zip(result.counts, model.counts, strict=True), 1):
        table.add_row(str(order), f"{count:,}", f"{before - count:,}")
    console().print(table)
    print(f"{args.output}: {megabytes(result.num_bytes)}, threshold {threshold:.4g}")
