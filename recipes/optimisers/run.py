"""Measure which optimiser learns most: by hours of audio heard, and by CPU time.

    python recipes/optimisers/run.py                        # all; continues runs that stopped
    python recipes/optimisers/run.py muon-5 adamw-1e-3      # these runs, in this order
    python recipes/optimisers/run.py --hours 20 --points 5  # evaluates after 4, 8, ... hours heard
    python recipes/optimisers/run.py --table                # only the tables of the runs so far
    python recipes/optimisers/run.py --config my.toml --runs runs/mine --hours 0.05

VARIANTS lists the changes. Each run hears the same hours at a constant rate, on one thread. Error
rates are greedy, on the development set: with the weights as they are, and with their average.
CPU time is that of the training process and its loading processes, with the evaluation of the
averaged weights. If a run was stopped, the work that it repeated counts twice.
"""

import argparse
import itertools
import json
import resource
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ds2.training.data.examples import read_utterances, select_for_evaluation
from ds2.training.network.network import Network
from ds2.training.run.checkpoint import LAST, read_checkpoint
from ds2.training.run.distributed import Workers
from ds2.training.run.evaluate import Evaluator

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent.parent / "runs" / "optimisers"
PIECES = "pieces.jsonl"
"""The file of a run with a line for each piece: hours heard at its end, CPU time, error rate."""


@dataclass(frozen=True)
class Variant:
    """A run: its change, in words and as settings."""

    name: str
    change: str
    settings: tuple[str, ...] = ()


def _muon(iterations: int, rate: float, *more: str) -> tuple[str, ...]:
    return (
        "training.optimiser=muon",
        f"training.muon_iterations={iterations}",
        f"training.muon_learning_rate={rate}",
        *more,
    )


def _with(pack: str) -> tuple[str, ...]:
    """The setting that adds a pack of speech to those of base.toml."""
    packs = tomllib.loads((HERE / "base.toml").read_text(encoding="utf-8"))["data"]["train"]
    paths = [str((HERE / path).resolve()) for path in (*packs, f"../../data/{pack}/manifest.jsonl")]
    return (f"data.train={json.dumps(paths)}",)


VARIANTS = (
    Variant("muon-5", "Muon 0.02, 5 iterations", _muon(5, 0.02)),
    Variant("adamw-1e-3", "AdamW 1e-3"),
    Variant("soap-10", "SOAP 1e-3, renewed every 10 steps", ("training.optimiser=soap",)),
    Variant("muon-3", "Muon 0.02, 3 iterations", _muon(3, 0.02)),
    Variant("adamw-2e-3", "AdamW 2e-3", ("training.learning_rate=2e-3",)),
    Variant("adamw-32s", "AdamW 1e-3, 32 s a minibatch", ("data.batch_seconds=32.0",)),
    Variant(
        "muon-5-32s", "Muon 0.02, 5 iterations, 32 s", _muon(5, 0.02, "data.batch_seconds=32.0")
    ),
    Variant("adamw-5e-4", "AdamW 5e-4", ("training.learning_rate=5e-4",)),
    Variant("muon-5-1e-2", "Muon 0.01, 5 iterations", _muon(5, 0.01)),
    Variant(
        "soap-25",
        "SOAP 1e-3, renewed every 25 steps",
        ("training.optimiser=soap", "training.soap_every=25"),
    ),
    Variant(
        "vocal-tract",
        "AdamW 1e-3, vocal tracts of other lengths",
        ("augmentation.vocal_tract_probability=0.5",),
    ),
    Variant(
        "machine-labelled",
        "AdamW 1e-3, with speech that a machine transcribed",
        _with("en-train-cv-auto"),
    ),
    Variant("synthetic", "AdamW 1e-3, with synthetic speech", _with("en-synthetic-flite")),
)


@dataclass(frozen=True)
class Point:
    """A run's error rates after `hours` heard and `cpu_h` hours of CPU time.

    cer: with the weights as they were; averaged_cer: with their average.
    """

    hours: float
    cpu_h: float
    cer: float
    averaged_cer: float

    def __str__(self) -> str:
        return (
            f"{self.hours:g} h heard in {self.cpu_h:.2f} CPU h: "
            f"CER {_percent(self.cer)}%, averaged weights {_percent(self.averaged_cer)}%"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [variant.name for variant in VARIANTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--hours", type=float, default=20.0, help="hours heard by each run (20)")
    parser.add_argument("--points", type=int, default=5, help="evaluations in each run (5)")
    parser.add_argument("--config", type=Path, default=HERE / "base.toml")
    parser.add_argument("--runs", type=Path, default=RUNS, help="their folder (runs/optimisers)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--table", action="store_true", help="print the tables, train nothing")
    args = parser.parse_args()
    for name in args.names:
        if name not in known:
            parser.error(f"there is no run {name}: choose from {', '.join(known)}")
    by_name = {variant.name: variant for variant in VARIANTS}
    chosen = [by_name[name] for name in args.names or known]
    ends = [args.hours * (number + 1) / args.points for number in range(args.points)]
    for variant in [] if args.table else chosen:
        train(variant, args.runs / variant.name, args.config, args.settings, ends)
    print_tables({variant: points(args.runs / variant.name) for variant in chosen}, ends)


def train(
    variant: Variant, run_dir: Path, config: Path, settings: Sequence[str], ends: Sequence[float]
) -> None:
    """Train piece by piece, and evaluate at the end of each; complete pieces stay.

    Exits with the status of `ds2 train` if that is not 0.
    """
    done = max((point.hours for point in points(run_dir)), default=0.0)
    for end in [end for end in ends if end > done]:
        print(f"{variant.name}: {variant.change}, to {end:g} hours", flush=True)
        command = [sys.executable, "-m", "ds2", "train"]
        if (run_dir / "config.toml").exists():
            words = [f"training.hours={end}"]
            command += [str(run_dir)]
        else:
            words = [*settings, *variant.settings, f"training.hours={end}"]
            command += [str(config), "-o", str(run_dir)]
        command += [word for setting in words for word in ("--set", setting)]
        before_s = _cpu_s()
        status = _wait_for(command)
        piece = {"hours": None if status else end, "cpu_s": round(_cpu_s() - before_s, 1)}
        if not status:
            piece["cer"] = _cer_without_average(run_dir)
        if run_dir.is_dir():
            with (run_dir / PIECES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(piece) + "\n")
        if status:
            sys.exit(status)
        print(f"{variant.change}: {points(run_dir)[-1]}", flush=True)


def _wait_for(command: Sequence[str]) -> int:
    """Run a command, pass signals that ask for an end on to it, and return its exit status."""
    with subprocess.Popen(command) as process:
        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),  # Ctrl-C reaches it, too
            signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
        }
        status = process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return status


def _cpu_s() -> float:
    """CPU seconds of all commands so far, and of the processes that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cer_without_average(run_dir: Path) -> float:
    """The error rate on the development set of a run's newest weights, not averaged."""
    checkpoint = read_checkpoint(run_dir / "checkpoints" / LAST)
    config = checkpoint.config
    config = replace(config, data=replace(config.data, num_workers=0))
    torch.set_num_threads(config.training.num_threads or 1)
    network = Network(config.network, len(checkpoint.alphabet))
    network.load_state_dict(checkpoint.network)
    dev = select_for_evaluation(read_utterances(config.data.dev), checkpoint.alphabet, config)
    evaluator = Evaluator(dev, checkpoint.alphabet, config, Workers(), torch.device("cpu"))
    evaluation = evaluator.evaluate(network)
    assert evaluation is not None  # nothing asks it to stop
    return evaluation.cer


def points(run_dir: Path) -> list[Point]:
    """The points of a run: the evaluation at the end of each complete piece."""
    evaluations = [r for r in _lines(run_dir / "metrics.jsonl") if r["kind"] == "dev"]
    found, cpu_s = [], 0.0
    for piece in _lines(run_dir / PIECES):
        cpu_s += piece["cpu_s"]
        at_end = [r for r in evaluations if piece["hours"] and r["audio_h"] >= piece["hours"]]
        if at_end:
            found.append(Point(piece["hours"], cpu_s / 3600, piece["cer"], at_end[0]["cer"]))
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def print_tables(found: dict[Variant, list[Point]], ends: Sequence[float]) -> None:
    """Print Markdown tables: error rates after equal hours heard, and after equal CPU time."""
    found = {variant: known for variant, known in found.items() if known}
    if not found:
        print("no run has been evaluated yet")
        return
    print(
        "CER % on the development set after the same hours heard, with the weights as they are / "
        "with averaged weights, and CPU hours of the whole run:\n"
    )
    row("setting", *(f"{end:g} h" for end in ends), "CPU h")
    row(*["---"] * (len(ends) + 2))
    for variant, known in found.items():
        by_end = {point.hours: point for point in known}
        cells = [_both(by_end[end]) if end in by_end else "" for end in ends]
        row(variant.change, *cells, f"{known[-1].cpu_h:.2f}")
    longest = max(known[-1].cpu_h for known in found.values())
    times = [longest * (number + 1) / len(ends) for number in range(len(ends))]
    print("\nThe same after equal CPU time, interpolated between two evaluations:\n")
    row("setting", *(f"{time:.2f} CPU h" for time in times))
    row(*["---"] * (len(times) + 1))
    for variant, known in found.items():
        reached = [at_time(known, time) for time in times]
        row(variant.change, *("" if point is None else _both(point) for point in reached))


def at_time(known: Sequence[Point], cpu_h: float) -> Point | None:
    """The point of a run at a CPU time, interpolated linearly; None outside its evaluations."""
    for before, after in itertools.pairwise(known):
        if before.cpu_h <= cpu_h <= after.cpu_h:
            share = (cpu_h - before.cpu_h) / max(1e-9, after.cpu_h - before.cpu_h)
            return Point(
                before.hours + share * (after.hours - before.hours),
                cpu_h,
                before.cer + share * (after.cer - before.cer),
                before.averaged_cer + share * (after.averaged_cer - before.averaged_cer),
            )
    return None


def _both(point: Point) -> str:
    return f"{_percent(point.cer)} / {_percent(point.averaged_cer)}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
