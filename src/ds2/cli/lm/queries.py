"""The actions of `ds2 lm` that only read a model: score, perplexity, info."""

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ds2.cli.screen.terminal import console
from ds2.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from ds2.ngram.model import NgramModel


def add_score(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "score",
        help="print the log-probability of each line of a text",
        description="Read texts, and print the natural log-probability of each line as a sentence. "
        "It is the sum over the words and the end of the sentence.",
    )
    _add_model_and_texts(parser)
    parser.add_argument(
        "--words", action="store_true", help="show each word with the order of its n-gram"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each line")
    parser.set_defaults(act=_score)


def _add_model_and_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="language model: lm.bin or an ARPA file"
    )
    parser.add_argument(
        "texts",
        nargs="*",
        default=["-"],
        metavar="TEXT",
        help="texts, one sentence on each line (default: standard input)",
    )
    parser.add_argument(
        "--no-normalise",
        action="store_true",
        help="use the texts as they are; do not normalise them",
    )


def _score(args: argparse.Namespace) -> None:
    from ds2.ngram.model import NgramModel

    model = NgramModel.load(args.model)
    if not args.json:
        print(f"{'log-prob':>10} {'words':>6} {'unknown':>7}  text")
    for text in texts_for(model, args.texts, raw=args.no_normalise):
        words = model.score_sentence(model.words_of(text))
        log_prob = sum(word.log_prob for word in words)
        num_unknown = sum(not word.is_known for word in words)
        if args.json:
            fields: dict[str, object] = {"text": text, "log_prob": log_prob, "unknown": num_unknown}
            if args.words:
                fields["words"] = [[word.word, word.log_prob, word.order] for word in words]
            print(json.dumps(fields, ensure_ascii=False))
            continue
        print(f"{log_prob:10.3f} {len(words) - 1:6} {num_unknown:7}  {text}")
        for word in words if args.words else ():
            mark = "" if word.is_known else "  unknown"
            print(f"{word.log_prob:10.3f} {word.order:6}-gram    {word.word}{mark}")


def add_perplexity(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "perplexity",
        help="measure how well a model predicts a text",
        description="Read texts, and print the perplexity with and without the words that the "
        "model does not know. The end of each line counts as a word.",
    )
    _add_model_and_texts(parser)
    parser.set_defaults(act=_perplexity)


def _perplexity(args: argparse.Namespace) -> None:
    from ds2.ngram.model import NgramModel

    model = NgramModel.load(args.model)
    result = model.perplexity(texts_for(model, args.texts, raw=args.no_normalise))
    if result.num_words == 0:
        raise InputError(f"{', '.join(args.texts)}: has no words to score: name another text")
    table = new_table("", "")
    share = 100 * result.num_unknown / result.num_words
    for name, value in (
        ("perplexity", f"{result.including_unknown:.4f}"),
        ("perplexity of known words", f"{result.excluding_unknown:.4f}"),
        ("log-probability (natural)", f"{result.log_prob:.3f}"),
        ("sentences", f"{result.num_sentences:,}"),
        ("words", f"{result.num_words:,}"),
        ("unknown words", f"{result.num_unknown:,} ({share:.2f}%)"),
    ):
        table.add_row(name, value)
    console().print(table)


def add_info(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "info",
        help="show the facts about a model, and verify its file",
        description="Show the unit, the language, the size and the origin of a model. ds2 also "
        "verifies every byte of the file.",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="language model: lm.bin or an ARPA file"
    )
    parser.set_defaults(act=_info)


def _info(args: argparse.Namespace) -> None:
    from ds2.ngram.model import NgramModel

    model = NgramModel.load(args.model)
    model.verify()
    facts = model.facts
    table = new_table("", "", justify="left")
    table.add_row("unit", facts.unit)
    table.add_row("language", facts.language or "none: text was not normalised")
    table.add_row("order", str(model.order))
    for order, count in enumerate(model.counts, 1):
        table.add_row(f"{order}-grams", f"{count:,}")
    table.add_row("size", megabytes(model.num_bytes))
    table.add_row("bytes per n-gram", f"{model.num_bytes / sum(model.counts):.1f}")
    error = model.max_error
    numbers = f"16-bit codes, at most {error:.1g} off" if error else "32-bit, exact"
    table.add_row("numbers (natural logarithms)", numbers)
    for name, value in facts.origin.items():
        table.add_row(name, json.dumps(value, ensure_ascii=False))
    console().print(table)


def texts_for(model: "NgramModel", sources: Sequence[str], *, raw: bool) -> Iterator[str]:
    """The lines of texts. Without raw, ds2 normalises them as the model's own text was."""
    from ds2.ngram.corpus import read_lines
    from ds2.text.normalise import normalise

    language = model.facts.language
    if raw or language is None:
        return read_lines(sources)
    return read_lines(sources, partial(normalise, language=language))


def new_table(*headings: str, justify: Literal["left", "right"] = "right") -> "Table":
    """A table. `justify` is for all columns except the first."""
    from rich.table import Table

    table = Table(show_header=any(headings))
    for index, heading in enumerate(headings):
        table.add_column(heading, justify=justify if index else "left")
    return table


def megabytes(num_bytes: int) -> str:
    """A size in bytes as people read it."""
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e5 else f"{num_bytes:,} bytes"
