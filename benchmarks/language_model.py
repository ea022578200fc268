"""Estimate, store and score n-gram models, side by side with KenLM in one run.

    python benchmarks/language_model.py --lmplz kenlm/build/bin/lmplz en.txt zh.txt

The texts are normalised, with a sentence in each line and spaces between words (between characters
in Mandarin). lmplz is in the source distribution of kenlm on PyPI. Unpack it, install its libraries
(boost, zlib, bzip2, lzma, Eigen) and build with

    cmake .. -DCMAKE_BUILD_TYPE=Release && make lmplz build_binary query

`build_binary` and `query` must be beside lmplz. CPU time is the user and system time of the
whole process, with the start of Python, so that other work on the machine matters little.
"""

import argparse
import math
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ds2.ngram.arpa import read_arpa
from ds2.ngram.levels import lexicographic_order, spelled
from ds2.ngram.model import NgramModel

PRUNING: list[list[str]] = [[], ["0", "0", "1"]]


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    peak_mb: float


def cost(command: list[str], stdin: Path | None = None, stdout: Path | None = None) -> Cost:
    """Run a command to its end."""
    source = stdin.open("rb") if stdin else subprocess.DEVNULL
    target = stdout.open("wb") if stdout else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=source, stdout=target, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for file in (source, target):
        if not isinstance(file, int):
            file.close()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call it in its own process, because later commands would count its peak memory, too."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(function, *arguments).result()


def difference(ours: Path, theirs: Path) -> tuple[bool, float, float]:
    """Whether two ARPA files have the same n-grams, and the differences of their numbers."""
    (our_levels, our_words), (their_levels, their_words) = read_arpa(ours), read_arpa(theirs)
    ids = {word: index for index, word in enumerate(our_words)}
    names = np.array([ids.get(word, -1) for word in their_words], np.int32)
    worst_prob = worst_backoff = 0.0
    for order, (one, other) in enumerate(zip(our_levels, their_levels, strict=True), 1):
        our_rows = spelled(our_levels, order, np.arange(len(one)))
        their_rows = names[spelled(their_levels, order, np.arange(len(other)))]
        first = lexicographic_order(our_rows, len(ids))
        second = lexicographic_order(their_rows, len(ids))
        if not np.array_equal(our_rows[first], their_rows[second]):
            return False, math.nan, math.nan
        probs = one.log10_probs[:][first] - other.log10_probs[:][second]
        backoffs = one.log10_backoffs[:][first] - other.log10_backoffs[:][second]
        worst_prob = max(worst_prob, float(np.abs(probs).max()))
        worst_backoff = max(worst_backoff, float(np.abs(backoffs).max()))
    return True, worst_prob, worst_backoff


def estimate_table(args: argparse.Namespace, directory: Path) -> Table:
    """Print CPU time, peak memory and equality for every text, order and pruning."""
    table = Table(title=f"estimating: medians of {args.repeats}; CPU s (x lmplz) / peak MB")
    headings = ("text", "order", "prune", "n-grams", "lmplz", "ds2", "ds2 and ARPA")
    for heading in (*headings, "same n-grams", "max |dlog10 p|", "max |dlog10 b|"):
        table.add_column(heading, justify="right")
    for text in args.texts:
        for order in args.orders:
            for prune in PRUNING:
                table.add_row(*estimate_row(args, directory, text, order, prune))
    return table


def estimate_row(
    args: argparse.Namespace, directory: Path, text: Path, order: int, prune: list[str]
) -> list[str]:
    """Run both programs alternately, so that other work affects both equally."""
    theirs, ours = directory / "kenlm.arpa", directory / "ds2.arpa"
    pruning = ["--prune", *prune] if prune else []
    lmplz = [str(args.lmplz), "-o", str(order), "-S", "2G", "-T", str(directory), *pruning]
    build = [str(args.ds2), "lm", "build", str(text), "--no-normalise", "--order", str(order)]
    build += ["-o", str(directory / "lm.bin"), *pruning]
    costs: dict[str, list[Cost]] = {"lmplz": [], "ds2": [], "ds2 and ARPA": []}
    for _ in range(args.repeats):
        costs["lmplz"].append(cost(lmplz, text, theirs))
        costs["ds2"].append(cost(build))
        costs["ds2 and ARPA"].append(cost([*build, "--arpa", str(ours)]))
    same, probs, backoffs = apart(difference, ours, theirs)
    base = median(run.cpu_s for run in costs["lmplz"])
    cells = [
        f"{(cpu_s := median(run.cpu_s for run in runs)):.2f} ({cpu_s / base:.2f}x) / "
        f"{max(run.peak_mb for run in runs):.0f}"
        for runs in costs.values()
    ]
    count = sum(NgramModel.load(directory / "lm.bin").counts)
    shown = [text.stem, str(order), " ".join(prune) or "-", f"{count:,}", *cells]
    return [*shown, "yes" if same else "NO", f"{probs:.1e}", f"{backoffs:.1e}"]


def file_table(args: argparse.Namespace, directory: Path) -> Table:
    """Print sizes, and times to open and score, of the unpruned models."""
    table = Table(
        title="files: MB; time to open and score a word; CPU ns per word of the text itself "
        "(query: trie, reading included; ds2: words are ids already); perplexity of it"
    )
    headings = ("text", "order", "trie", "trie -q 8 -b 8", "ds2", "ds2 --exact", "open ms")
    speeds = ("query ns", "ds2 ns")
    for heading in (*headings, *speeds, "query ppl", "ds2 ppl", "--exact ppl"):
        table.add_column(heading, justify="right")
    for text in args.texts:
        for order in args.orders:
            table.add_row(*apart(file_row, args, directory, text, order))
    return table


def file_row(args: argparse.Namespace, directory: Path, text: Path, order: int) -> list[str]:
    tools = args.lmplz.parent
    arpa, trie, quantised = (directory / name for name in ("k.arpa", "k.trie", "q.trie"))
    cost([str(args.lmplz), "-o", str(order), "-S", "2G", "-T", str(directory)], text, arpa)
    cost([str(tools / "build_binary"), "trie", str(arpa), str(trie)])
    cost([str(tools / "build_binary"), "-q", "8", "-b", "8", "trie", str(arpa), str(quantised)])
    coded, exact = directory / "coded.bin", directory / "exact.bin"
    build = [str(args.ds2), "lm", "build", str(text), "--no-normalise", "--order", str(order), "-o"]
    cost([*build, str(coded)])
    cost([*build, str(exact), "--exact"])
    query = subprocess.run(
        [str(tools / "query"), "-v", "summary", str(trie)],
        stdin=text.open("rb"),
        capture_output=True,
        text=True,
        check=True,
    )
    shown = query.stdout + query.stderr
    their_perplexity = re.findall(r"including OOVs:\s+([0-9.]+)", shown)[0]
    their_cpu_s = float(re.findall(r"CPU:([0-9.]+)", shown)[0])
    lines = text.read_text().splitlines()
    models = [NgramModel.load(path) for path in (coded, exact)]
    perplexities = [f"{model.perplexity(lines).including_unknown:.5f}" for model in models]
    sizes = [f"{path.stat().st_size / 1e6:.1f}" for path in (trie, quantised, coded, exact)]
    num_words = sum(len(line.split()) + 1 for line in lines)
    speeds = [f"{their_cpu_s / num_words * 1e9:.0f}", f"{nanoseconds(models[0], lines):.0f}"]
    open_ms = f"{opening_ms(coded):.2f}"
    return [
        *(text.stem, str(order), *sizes, open_ms, *speeds),
        *(f"{float(their_perplexity):.5f}", *perplexities),
    ]


def nanoseconds(model: NgramModel, lines: list[str]) -> float:
    """CPU time for a word in compiled code; the words are ids already."""
    end = model.word_id("</s>")
    ids = [index for line in lines for index in (*map(model.word_id, line.split()), end)]
    numbers = np.array(ids, np.int32)
    times = []
    for _ in range(5):
        start = time.process_time()
        model.score_ids(numbers, model.begin_state())
        times.append(time.process_time() - start)
    return min(times) / len(numbers) * 1e9


def opening_ms(path: Path) -> float:
    """Time until the first word is scored; compiled code is loaded before."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        model = NgramModel.load(path)
        model.score(model.word_id("the"), model.begin_state())
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--lmplz", type=Path, required=True)
    parser.add_argument("--ds2", type=Path, default=Path(sys.executable).with_name("ds2"))
    parser.add_argument("--orders", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    console = Console(width=170)
    with tempfile.TemporaryDirectory() as directory:
        console.print(estimate_table(args, Path(directory)))
        console.print(file_table(args, Path(directory)))


if __name__ == "__main__":
    main()
