"""`ds2 lm interpolate`: mixes models into one."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.lm.build import add_output
from ds2.cli.lm.queries import new_table, texts_for
from ds2.cli.screen.terminal import console
from ds2.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ds2.ngram.model import NgramModel


def add_interpolate(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "interpolate",
        help="mix models into one that fits a text",
        description="Read two or more models, for example one of your domain and one of general "
        "text, and write one model. ds2 finds the weights that predict the development text best, "
        "or takes the weights that you give.",
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="two or more models")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--dev",
        nargs="+",
        metavar="TEXT",
        help="development text to fit the weights to (default: none; give this or --weights)",
    )
    choice.add_argument(
        "--weights",
        nargs="+",
        type=float,
        metavar="W",
        help="the weight of each model; ds2 divides them by their sum (default: fitted to --dev)",
    )
    add_output(parser)
    parser.add_argument(
        "--no-normalise",
        action="store_true",
        help="use the texts as they are; do not normalise them",
    )
    parser.set_defaults(act=_interpolate)


def _interpolate(args: argparse.Namespace) -> None:
    from ds2.ngram.arpa import write_arpa
    from ds2.ngram.columns import Workspace
    from ds2.ngram.mixture import fit_weights, mixed, word_log_probs
    from ds2.ngram.model import NgramModel
    from ds2.ngram.writing import save_model

    if len(args.models) < 2:
        raise InputError("MODEL: name two or more models to mix")
    models = [NgramModel.load(path) for path in args.models]
    texts = list(texts_for(models[0], args.dev or [], raw=args.no_normalise))
    if args.weights is None:
        weights = fit_weights(word_log_probs(models, texts))
    else:
        weights = _given_weights(args.weights, len(models))
    levels, vocabulary, facts = mixed(models, weights)
    save_model(args.output, levels, vocabulary, facts, Workspace(), exact=args.exact)
    if args.arpa is not None:
        write_arpa(args.arpa, levels, vocabulary, Workspace())
    _print_mixed(args, models, weights, texts)


def _given_weights(weights: Sequence[float], num_models: int) -> "npt.NDArray[np.float64]":
    """The weights of --weights, so that they sum to one. Raises InputError for unfit numbers."""
    import numpy as np

    if len(weights) != num_models:
        raise InputError(
            f"--weights: {len(weights)} numbers for {num_models} models: give each model a weight"
        )
    if not all(0 <= weight < math.inf for weight in weights) or sum(weights) == 0:
        raise InputError("--weights: they must be 0 or more, and one of them more than 0")
    return np.array(weights) / sum(weights)


def _print_mixed(
    args: argparse.Namespace,
    models: Sequence["NgramModel"],
    weights: "npt.NDArray[np.float64]",
    texts: Sequence[str],
) -> None:
    from ds2.ngram.model import NgramModel

    figures = ("perplexity of known words", "unknown words") if texts else ()
    table = new_table("model", "weight", *figures, "n-grams")
    for path, model, weight in zip(
        (*args.models, args.output),
        (*models, NgramModel.load(args.output)),
        (*(f"{weight:.4f}" for weight in weights), ""),
        strict=True,
    ):
        result = model.perplexity(texts)
        shown = (f"{result.excluding_unknown:.3f}", f"{result.num_unknown:,}") if texts else ()
        table.add_row(str(path), weight, *shown, f"{sum(model.counts):,}")
    console().print(table)
