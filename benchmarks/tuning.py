"""Compare ways to search for alpha and beta: their number of decodings and their results.

    python benchmarks/tuning.py dev.jsonl -m models/en --lm lm.bin

It compares the search of `ds2 lm tune` with a grid, and with CMA-ES if `cmaes` is installed. The
other two get one fact that `ds2 lm tune` must find: whether unknown words are allowed.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.settings import BeamSettings
from ds2.manifest import read_manifest
from ds2.model.bundle import find_bundle, load_bundle
from ds2.ngram.model import NgramModel
from ds2.recognition.recognizer import Recognizer
from ds2.tuning.dev_set import DevSet, Outputs, Trial, hear, references_of
from ds2.tuning.search import search

ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
BETAS = (-1.5, -0.5, 0.5, 1.5, 3.0)
GENERATIONS, POPULATION = 8, 6


def silent(_stage: str, _fraction: float | None) -> None:
    pass


def decoded(dev: DevSet, lm: NgramModel, settings: BeamSettings) -> Trial:
    hypotheses = dev.decode(BeamSearch(dev.alphabet, settings, lm), report=silent)
    return Trial(settings, dev.counted(best[0] for best in hypotheses), 0.0)


def grid(dev: DevSet, lm: NgramModel, first: BeamSettings) -> Iterator[Trial]:
    for alpha in ALPHAS:
        for beta in BETAS:
            yield decoded(dev, lm, replace(first, lm_weight=alpha, word_bonus=beta))


def cma_es(dev: DevSet, lm: NgramModel, first: BeamSettings) -> Iterator[Trial]:
    from cmaes import CMA

    bounds = np.array([[0.0, 4.0], [-6.0, 8.0]])
    strategy = CMA(np.ones(2), 0.7, bounds=bounds, seed=0, population_size=POPULATION)
    for _ in range(GENERATIONS):
        points = [strategy.ask() for _ in range(POPULATION)]
        trials = []
        for alpha, beta in points:
            point = replace(first, lm_weight=float(alpha), word_bonus=float(beta))
            trials.append(decoded(dev, lm, point))
            yield trials[-1]
        strategy.tell(
            [(point, trial.rate.rate) for point, trial in zip(points, trials, strict=True)]
        )


def compare(dev: DevSet, lm: NgramModel) -> Table:
    table = Table("search", "decodings", "CPU s", "alpha", "beta", "unknown", "WER %, 95% interval")

    def add(name: str, trials: list[Trial], start_s: float) -> Trial:
        elapsed_s = time.process_time() - start_s
        best = min(trials, key=lambda trial: trial.num_errors)
        made = best.settings
        figures = (f"{made.lm_weight:.2f}", f"{made.word_bonus:.2f}", made.unknown_word_score)
        table.add_row(
            name, str(len(trials)), f"{elapsed_s:.0f}", *map(str, figures), str(best.rate)
        )
        return best

    decoded(dev, lm, BeamSettings(beam_width=1))  # compiles
    start_s = time.process_time()
    found = search(dev, lm, BeamSettings(), num_trials=12, num_threads=1, report=silent)
    best = add("ds2 lm tune, no priors", list(found.trials), start_s)
    for name, way in (("grid", grid), ("CMA-ES", cma_es)):
        start_s = time.process_time()
        try:
            add(name, list(way(dev, lm, best.settings)), start_s)
        except ModuleNotFoundError:
            table.add_row(name, "pip install cmaes")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--lm", type=Path, required=True)
    args = parser.parse_args()
    bundle = load_bundle(find_bundle(args.model))
    utterances = read_manifest(args.manifest)
    references = references_of(utterances, bundle.alphabet)
    with Outputs(len(bundle.alphabet)) as outputs:
        recognizer = Recognizer(bundle, greedy=True)
        dev = hear(recognizer, utterances, references, outputs, report=silent)
        Console(width=120).print(compare(dev, NgramModel.load(args.lm)))


if __name__ == "__main__":
    main()
