"""Which optimiser learns most: by hours of audio heard, and by CPU time.

    python recipes/optimisers/run.py                        # all; stopped, it goes on where it was
    python recipes/optimisers/run.py adamw-1e-3 muon-5      # these
    python recipes/optimisers/run.py --hours 20 --points 5  # judged after 4, 8, ... hours heard
    python recipes/optimisers/run.py --table                # only the tables of what is there
    python recipes/optimisers/run.py --config my.toml --runs runs/mine --hours 0.05

VARIANTS says what is changed. Each hears the same hours at a constant rate, on one thread. Error
rates are those of the development set, greedy. CPU time is that of the training process and of
those that load for it, evaluations included; a run that was stopped counts what it did twice.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent.parent / "runs" / "optimisers"
CPU_TIME = "cpu_time.jsonl"
"""Of a run: a line for each piece of it, the hours heard at its end and the CPU seconds it took."""


@dataclass(frozen=True)
class Variant:
    """One run: what it changes, in words and in settings."""

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


VARIANTS = (
    Variant("adamw-1e-3", "AdamW 1e-3"),
    Variant("adamw-5e-4", "AdamW 5e-4", ("training.learning_rate=5e-4",)),
    Variant("adamw-2e-3", "AdamW 2e-3", ("training.learning_rate=2e-3",)),
    Variant("adamw-64s", "AdamW 1e-3, 64 s a minibatch", ("data.batch_seconds=64.0",)),
    Variant("adamw-16s", "AdamW 1e-3, 16 s a minibatch", ("data.batch_seconds=16.0",)),
    Variant("adamw-ema", "AdamW 1e-3, averaged weights", ("training.ema=0.998",)),
    Variant("muon-5", "Muon 0.02, 5 iterations", _muon(5, 0.02)),
    Variant("muon-3", "Muon 0.02, 3 iterations", _muon(3, 0.02)),
    Variant("muon-3-1e-2", "Muon 0.01, 3 iterations", _muon(3, 0.01)),
    Variant(
        "muon-3-64s", "Muon 0.02, 3 iterations, 64 s", _muon(3, 0.02, "data.batch_seconds=64.0")
    ),
    Variant(
        "muon-3-ema", "Muon 0.02, 3 iterations, averaged", _muon(3, 0.02, "training.ema=0.998")
    ),
    Variant("soap-10", "SOAP 1e-3, renewed every 10 steps", ("training.optimiser=soap",)),
    Variant(
        "soap-25",
        "SOAP 1e-3, renewed every 25 steps",
        ("training.optimiser=soap", "training.soap_every=25"),
    ),
)


@dataclass(frozen=True)
class Point:
    """A run's error rate after so many hours heard and so much CPU time."""

    hours: float
    cpu_h: float
    cer: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [variant.name for variant in VARIANTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--hours", type=float, default=20.0, help="that each run hears (20)")
    parser.add_argument("--points", type=int, default=5, help="evaluations on the way (5)")
    parser.add_argument("--config", type=Path, default=HERE / "base.toml")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where they are (runs/optimisers)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--table", action="store_true", help="train nothing")
    args = parser.parse_args()
    for name in args.names:
        if name not in known:
            parser.error(f"{name} is none of {', '.join(known)}")
    chosen = [variant for variant in VARIANTS if not args.names or variant.name in args.names]
    ends = [args.hours * (number + 1) / args.points for number in range(args.points)]
    for variant in [] if args.table else chosen:
        train(variant, args.runs / variant.name, args.config, args.settings, ends)
    print_tables({variant: points(args.runs / variant.name) for variant in chosen}, ends)


def train(
    variant: Variant, run_dir: Path, config: Path, settings: Sequence[str], ends: Sequence[float]
) -> None:
    """Train piece by piece, each with an evaluation at its end; what is there stays.

    Leaves with the exit status of `ds2 train` if that is not 0.
    """
    done = {point.hours for point in points(run_dir)}
    for end in ends:
        if any(end <= hours for hours in done):
            continue
        print(f"{variant.name}: {variant.change}, to {end:g} hours", flush=True)
        command = [sys.executable, "-m", "ds2", "train"]
        if (run_dir / "config.toml").exists():
            words = [f"training.hours={end}"]
            command += [str(run_dir)]
        else:
            words = [*settings, *variant.settings, f"training.hours={end}"]
            command += [str(config), "-o", str(run_dir)]
        command += [word for setting in words for word in ("--set", setting)]
        before = _cpu_s()
        status = subprocess.run(command, check=False).returncode
        _note(run_dir, _cpu_s() - before, None if status else end)
        if status:
            sys.exit(status)


def _cpu_s() -> float:
    """CPU seconds of all commands that have been run so far and of their own processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _note(run_dir: Path, cpu_s: float, end: float | None) -> None:
    """Keep what a piece has cost; end: the hours heard by then, None if it was stopped before."""
    if run_dir.is_dir():
        piece = {"hours": end, "cpu_s": round(cpu_s, 1)}
        with (run_dir / CPU_TIME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(piece) + "\n")


def points(run_dir: Path) -> list[Point]:
    """What is known of a run: the evaluation at the end of each complete piece."""
    evaluations = [r for r in _lines(run_dir / "metrics.jsonl") if r["kind"] == "dev"]
    heard = {r["step"]: r["audio_h"] for r in evaluations}
    found, cpu_s = [], 0.0
    for piece in _lines(run_dir / CPU_TIME):
        cpu_s += piece["cpu_s"]
        at_end = [r for r in evaluations if piece["hours"] and heard[r["step"]] >= piece["hours"]]
        if at_end:
            found.append(Point(piece["hours"], cpu_s / 3600, at_end[0]["cer"]))
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def print_tables(found: dict[Variant, list[Point]], ends: Sequence[float]) -> None:
    """Markdown: error rates after equal hours heard, and after equal CPU time."""
    found = {variant: known for variant, known in found.items() if known}
    if not found:
        print("nothing is measured yet")
        return
    print(
        "CER % on the development set after so many hours heard, and CPU hours for all of them:\n"
    )
    row("setting", *(f"{end:g} h" for end in ends), "CPU h")
    row(*["---"] * (len(ends) + 2))
    for variant, known in found.items():
        by_end = {point.hours: point for point in known}
        cells = [_percent(by_end[end].cer) if end in by_end else "" for end in ends]
        row(variant.change, *cells, f"{known[-1].cpu_h:.2f}")
    longest = max(known[-1].cpu_h for known in found.values())
    times = [longest * (number + 1) / len(ends) for number in range(len(ends))]
    print("\nCER % after so many hours of CPU time, between two evaluations in proportion:\n")
    row("setting", *(f"{time:.2f} h" for time in times))
    row(*["---"] * (len(times) + 1))
    for variant, known in found.items():
        row(variant.change, *(_percent(at_time(known, time)) for time in times))


def at_time(known: Sequence[Point], cpu_h: float) -> float | None:
    """The error rate at a time, on the line between the evaluations around it; None outside."""
    for before, after in itertools.pairwise(known):
        if before.cpu_h <= cpu_h <= after.cpu_h:
            share = (cpu_h - before.cpu_h) / max(1e-9, after.cpu_h - before.cpu_h)
            return before.cer + share * (after.cer - before.cer)
    return None


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f}"


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
