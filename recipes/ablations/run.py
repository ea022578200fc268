"""Measure the effect of each choice: train one network several times, with one change each time.

    python recipes/ablations/run.py                      # all runs; continues runs that stopped
    python recipes/ablations/run.py base no-sortagrad    # these runs
    python recipes/ablations/run.py --table              # only the table of the complete runs

VARIANTS lists the changes. Runs are in runs/ablations/NAME. Error rates are those of the
development set after the last epoch, greedy, without a language model.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2.training.config import RunConfig, load_config

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data"
RUNS = HERE.parent.parent / "runs" / "ablations"
NUM_LABELS = 29  # English characters and the blank


@dataclass(frozen=True)
class Variant:
    """A run: its change, in words and as settings, and the run to compare it with (`beside`)."""

    name: str
    change: str
    settings: tuple[str, ...] = ()
    beside: str = "base"

    def config(self) -> RunConfig:
        return load_config(HERE / "base.toml", self.settings)


DISTORTIONS = ("speed", "reverberation", "noise", "lowpass", "gain", "mask")


def with_synthetic(pack: str) -> str:
    """The setting that adds a pack of synthetic speech to the recordings."""
    names = ("en-train-read", "en-train-cv", f"en-synthetic-{pack}")
    return f"data.train={json.dumps([str(DATA / name / 'manifest.jsonl') for name in names])}"


VARIANTS = (
    Variant("base", "nothing"),
    Variant("seed-1", "another seed", ("training.seed=1",)),
    Variant("seed-2", "a third seed", ("training.seed=2",)),
    Variant(
        "no-augmentation",
        "no augmentation",
        tuple(f"augmentation.{name}_probability=0.0" for name in DISTORTIONS),
    ),
    Variant("no-speed", "no speed perturbation", ("augmentation.speed_probability=0.0",)),
    Variant("no-sortagrad", "no SortaGrad", ("training.sortagrad=false",)),
    Variant("no-batch-norm", "no batch normalisation", ("network.batch_norm=false",)),
    Variant(
        "no-batch-norm-no-sortagrad",
        "neither batch normalisation nor SortaGrad",
        (
            "network.batch_norm=false",
            "training.sortagrad=false",
        ),
        beside="no-batch-norm",
    ),
    Variant("lookahead-0", "lookahead 0", ("network.lookahead=0",)),
    Variant("lookahead-80", "lookahead 80", ("network.lookahead=80",)),
    Variant(
        "rnn",
        "simple recurrent layers, 485 units",
        (
            "network.recurrent=rnn",
            "network.hidden_size=485",
        ),
    ),
    Variant(
        "lstm",
        "LSTM layers, 215 units",
        (
            "network.recurrent=lstm",
            "network.hidden_size=215",
        ),
    ),
    Variant(
        "bidirectional",
        "both directions, no lookahead",
        (
            "network.bidirectional=true",
            "network.lookahead=0",
        ),
    ),
    Variant("half-as-wide", "128 units", ("network.hidden_size=128",)),
    Variant("twice-as-wide", "512 units", ("network.hidden_size=512",)),
    Variant(
        "one-convolution",
        "one convolution",
        ("network.convolutions=[{channels=32, kernel=[41, 11], stride=[8, 3]}]",),
    ),
    # The hours heard stay the same: two epochs of 1.5 times the data, or one of three times.
    Variant(
        "synthetic-third",
        "a third of the speech synthetic",
        (with_synthetic("3h"), "training.epochs=2", "training.sortagrad=false"),
        beside="no-sortagrad",
    ),
    Variant(
        "synthetic-two-thirds",
        "two thirds of the speech synthetic",
        (with_synthetic("12h"), "training.epochs=1", "training.sortagrad=false"),
        beside="no-sortagrad",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """A complete run's figures after its last epoch."""

    wer: float
    cer: float
    loss: float  # of an utterance of the development set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [variant.name for variant in VARIANTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--table", action="store_true", help="print the table, train nothing")
    args = parser.parse_args()
    for name in args.names:
        if name not in known:
            parser.error(f"there is no run {name}: choose from {', '.join(known)}")
    chosen = [variant for variant in VARIANTS if not args.names or variant.name in args.names]
    for variant in [] if args.table else chosen:
        if outcome(variant) is None:
            train(variant)
    print_table(chosen)


def train(variant: Variant) -> None:
    """Start a run of `ds2 train` or continue it; exit with its status if that is not 0."""
    print(f"{variant.name}: {variant.change}", flush=True)
    command = [sys.executable, "-m", "ds2", "train"]
    if (RUNS / variant.name / "config.toml").exists():
        command += [str(RUNS / variant.name)]
    else:
        command += [str(HERE / "base.toml"), "-o", str(RUNS / variant.name)]
        command += [word for setting in variant.settings for word in ("--set", setting)]
    status = subprocess.run(command, cwd=HERE, check=False).returncode  # paths are relative to here
    if status:
        sys.exit(status)


def outcome(variant: Variant) -> Outcome | None:
    """The figures of a run, or None if it is not complete."""
    path = RUNS / variant.name / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    last_epoch = variant.config().training.epochs
    found = [r for r in records if r["kind"] == "dev" and r["epoch"] == last_epoch]
    if not found:
        return None
    last = found[-1]
    return Outcome(last["wer"], last["cer"], last["loss"])


def print_table(chosen: Sequence[Variant]) -> None:
    """Print a Markdown table: the change of each run, its parameters, and its figures."""
    known = {variant.name: variant for variant in VARIANTS}
    row("change", "parameters", "CER %", "difference", "WER %", "dev loss")
    row(*["---"] * 6)
    for variant in chosen:
        found, other = outcome(variant), outcome(known[variant.beside])
        if found is None:
            continue
        difference = ""
        if other is not None and variant.name != variant.beside:
            points = round(100 * (found.cer - other.cer), 1) + 0.0  # -0.0 becomes 0.0
            difference = f"{points:+.1f}"
            if variant.beside != "base":
                difference += f" from {known[variant.beside].change}"
        parameters = variant.config().network.num_parameters(NUM_LABELS)
        row(
            variant.change,
            f"{parameters / 1e6:.2f} M",
            f"{100 * found.cer:.1f}",
            difference,
            f"{100 * found.wer:.1f}",
            f"{found.loss:.1f}",
        )


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
