"""One table of the figures that README and docs claim, measured again on this machine.

    make bench
    python benchmarks/bench.py --data data --only decoder opening
    python benchmarks/bench.py --peers-python PY --peer-source deepspeech.pytorch-3.0

Each benchmark runs in turn in its own process, with settings that keep the whole below half an
hour. A benchmark without its data or its peer is left out, and the output says why. A figure that
differs from the claim of a page is shown and is not an error, because the machine may differ.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from figures import VARIABLE, Figure, kept

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "samples"
DECODING = "docs/explanation/decoding.md"
SERVING = "docs/how-to/serving.md"
RESULTS = "docs/explanation/results.md"
SPEED = "docs/how-to/speed.md"
CLAIMS = {
    "beam search, en on en-dev, beam 100, pyctcdecode": ("26.8 times", DECODING),
    "beam search, en on en-dev, beam 500, pyctcdecode": ("43.7 times", DECODING),
    "beam search, made up, 29 labels, beam 100, pyctcdecode": ("20.4 times", DECODING),
    "beam search, made up, 29 labels, beam 500, pyctcdecode": ("11.9 times", DECODING),
    "latency of a piece of 60 ms, greedy": ("1.0 ms", RESULTS),
    "latency of a piece of 210 ms, greedy": ("1.9 ms", RESULTS),
    "latency of a piece of 60 ms, language model": ("1.3 ms", RESULTS),
    "latency of a piece of 210 ms, language model": ("2.3 ms", RESULTS),
    "RTF, 210 ms, greedy": ("0.011", RESULTS),
    "RTF, 210 ms, language model": ("0.013", RESULTS),
    "98th percentile, 90 streams, greedy, ds2 greedy, one by one": ("26 ms", SERVING),
    "98th percentile, 90 streams, language model, ds2 language model, one by one": (
        "42 ms",
        SERVING,
    ),
    "hours of audio a minute, one core": ("1.8", SPEED),
    "hours of audio a minute, 2 cores": ("2.7", SPEED),
}
"""The claims of pages, by the names of the figure and of its peer; each with its page."""


@dataclass(frozen=True)
class Benchmark:
    """A script beside this one, with its arguments."""

    name: str
    arguments: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()  # modules that it imports and that are not in the runtime
    files: tuple[Path, ...] = ()  # files that it reads

    @property
    def lacks(self) -> str:
        """The first thing that is missing; empty if nothing is missing."""
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        if absent:
            return f"pip install {' '.join(absent)}".replace("_", "-")
        missing = [str(path) for path in self.files if not path.exists()]
        return f"no {missing[0]}" if missing else ""


def benchmarks(args: argparse.Namespace) -> Iterator[Benchmark]:
    """All benchmarks, in the order of the table."""
    dev = args.data / "en-dev" / "manifest.jsonl"
    speech = dev if dev.exists() else SAMPLES / "manifest-en.jsonl"
    peer_source = ("--peer-source", str(args.peer_source)) if args.peer_source else ()
    peers_python = ("--peers-python", args.peers_python) if args.peers_python else ()
    yield Benchmark("opening", ("-m", "en"))
    yield Benchmark("features", modules=("kaldi_native_fbank",))
    yield Benchmark("streaming", modules=("torch",))
    yield Benchmark("network", peer_source, modules=("torch",))
    text = ("--english-text", str(args.english_text), "--data", str(args.data))
    short = ("--utterances", "20", "--rounds", "3", *peers_python)
    yield Benchmark("decoder", (*text, *short), files=(args.english_text,))
    yield Benchmark("stream_latency", (str(speech), "-m", "en"), files=(speech,))
    yield Benchmark("many_files", (str(speech), "-m", "en"), files=(speech,))
    load = ("-m", "en", "--streams", "30,90", "--seconds", "6", "--no-search")
    yield Benchmark("serve_load", (str(speech), *load), modules=("uvloop",), files=(speech,))


def main() -> None:
    """Run the benchmarks, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with en-dev (data)")
    parser.add_argument("--english-text", type=Path, default=SAMPLES / "texts-en.txt")
    parser.add_argument("--peers-python", default=_python_with("pyctcdecode"))
    parser.add_argument("--peer-source", type=Path, help="an unpacked deepspeech.pytorch")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run only these benchmarks")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=150)
    figures: list[Figure] = []
    reasons = {}
    for benchmark in benchmarks(args):
        if args.only and benchmark.name not in args.only:
            continue
        reason = benchmark.lacks
        if not reason:
            console.rule(benchmark.name)
            found, reason = _run(benchmark)
            figures += found
        if reason:
            reasons[benchmark.name] = reason
    console.rule()
    console.print(_table(figures))
    for name, reason in reasons.items():
        console.print(f"{name}: not measured: {reason}")
    if args.json:
        args.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


def _python_with(module: str) -> str | None:
    """The path of this Python if it has the module, or None."""
    return sys.executable if importlib.util.find_spec(module) else None


def _run(benchmark: Benchmark) -> tuple[list[Figure], str]:
    """Run a benchmark; return its figures, and its error or an empty text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures.jsonl")
        command = [sys.executable, str(HERE / f"{benchmark.name}.py"), *benchmark.arguments]
        ran = subprocess.run(command, env={**os.environ, VARIABLE: str(path)}, check=False)
        return kept(path), f"exit status {ran.returncode}" if ran.returncode else ""


def _table(figures: list[Figure]) -> Table:
    table = Table(title="ratio: how many times better ours is than the peer's, in this run")
    for heading in ("figure", "ours", "peer", "its figure", "ratio", "claimed", "page"):
        right = heading in ("ours", "its figure", "ratio", "claimed")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for figure in figures:
        name = f"{figure.name}, {figure.peer}" if figure.peer else figure.name
        claim, page = CLAIMS.get(name, ("", ""))
        theirs = "" if figure.theirs is None else _said(figure.theirs, figure.unit)
        ratio = "" if figure.ratio is None else f"{figure.ratio:.1f}"
        ours = _said(figure.ours, figure.unit)
        table.add_row(figure.name, ours, figure.peer, theirs, ratio, claim, page)
    return table


def _said(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}".strip()


if __name__ == "__main__":
    main()
