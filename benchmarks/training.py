"""Compare the speed of `ds2 train` with another version of itself, in hours of audio per hour.

    python benchmarks/training.py --source before=../before/src --source now=src \
        --threads 1 --bf16 MANIFEST ...

Every version trains with its own `ds2 train` on the manifests, with the same settings. They take
turns: one runs for some seconds while the others are stopped, so that other work on the machine
affects all of them equally. It counts the audio heard after the first steps, because these fill
caches and compile. It reports wall time, and processor time of the run with its loading processes.

Linux only: it stops processes and reads their times from /proc.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ds2.manifest import read_manifest, write_manifest

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """The run of a version, in its own process group."""

    name: str
    directory: Path
    process: subprocess.Popen[bytes]
    wall_s: float = 0.0

    def go_on(self, seconds: float) -> None:
        """Let it run for some seconds, then stop it."""
        os.killpg(self.process.pid, signal.SIGCONT)
        begun_s = time.perf_counter()
        time.sleep(seconds)
        os.killpg(self.process.pid, signal.SIGSTOP)
        self.wall_s += time.perf_counter() - begun_s
        if self.process.poll() is not None:
            sys.exit(f"{self.name}: the run ended: see {self.directory}.log")

    def audio_s(self) -> float:
        """Seconds of audio in the steps so far."""
        path = self.directory / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        steps = [json.loads(line) for line in lines if line.startswith('{"kind": "train"')]
        return float(steps[-1]["audio_h"]) * 3600 if steps else 0.0

    def processor_s(self) -> float:
        """The processor time of all processes of its group; they live as long as the run."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(") ")[2].split()
            except OSError:  # the process ended meanwhile
                continue
            if int(fields[2]) == self.process.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_S


def start(name: str, source: str, work: Path, args: argparse.Namespace) -> Run:
    """Start a run and stop it at once."""
    dev = work / "dev.jsonl"
    write_manifest(dev, read_manifest(args.manifests[0])[:1])
    settings = {
        "data.train": json.dumps([str(path.resolve()) for path in args.manifests]),
        "data.dev": json.dumps([str(dev)]),
        "data.batch_seconds": args.batch_seconds,
        "data.num_workers": args.workers,
        "data.skip_bad": "true",
        "data.max_duration_s": 17.0,
        "training.bf16": str(args.bf16).lower(),
        "training.num_threads": args.threads,
        "training.sortagrad": "false",
        "training.epochs": 1000,
        "training.log_every": 1,
        "training.checkpoint_every_s": 3600.0,
        "augmentation.reverberation_probability": 0.15,
        "augmentation.noise_probability": 0.3,
    }
    if args.noise:
        settings["data.noise"] = json.dumps([str(args.noise.resolve())])
    config = work / "run.toml"
    config.write_text(f'[network]\npreset = "{args.preset}"\n')
    overrides = [f"--set={key}={value}" for key, value in settings.items()]
    directory = work / name
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(source).resolve()),
        "XDG_CACHE_HOME": str(args.cache or work / "cache"),
        "OMP_NUM_THREADS": str(args.threads),
    }
    with Path(f"{directory}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ds2", "train", str(config), "-o", str(directory), *overrides],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    run = Run(name, directory, process)
    while run.audio_s() < args.warm_up_s:
        run.go_on(2.0)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--source", action="append", required=True, help="NAME=path/to/src")
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--batch-seconds", type=float, default=64.0)
    parser.add_argument(
        "--warm-up-s", type=float, default=200.0, help="seconds of audio that do not count"
    )
    parser.add_argument("--slice-s", type=float, default=15.0, help="seconds in a turn")
    parser.add_argument("--slices", type=int, default=6, help="turns for each version")
    parser.add_argument(
        "--cache", type=Path, help="folder of decoded audio (default: a temporary one)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        runs: list[Run] = []
        try:
            for text in args.source:
                title, _, source = text.partition("=")
                runs.append(start(title, source, Path(name), args))
            before = [(run.audio_s(), run.processor_s(), run.wall_s) for run in runs]
            for _ in range(args.slices):
                for run in runs:
                    run.go_on(args.slice_s)
            after = [(run.audio_s(), run.processor_s(), run.wall_s) for run in runs]
        finally:
            for run in runs:
                os.killpg(run.process.pid, signal.SIGKILL)
                run.process.wait()
    precision = "bfloat16" if args.bf16 else "float32"
    print(f"{args.preset}, {precision}, {args.threads} thread(s), {args.workers} loading\n")
    print("| version | h/h by the clock | h per processor hour | ratio per processor hour |")
    print("|---|---|---|---|")
    base = None
    for run, old, new in zip(runs, before, after, strict=True):
        audio_s, processor_s, wall_s = (b - a for a, b in zip(old, new, strict=True))
        base = base or audio_s / processor_s
        print(
            f"| {run.name} | {audio_s / wall_s:.1f} | {audio_s / processor_s:.1f} "
            f"| {audio_s / processor_s / base:.2f} |"
        )


if __name__ == "__main__":
    main()
