"""Measure the hours of audio a minute of `ds2 transcribe DIR`, on one core and on all cores.

    python benchmarks/many_files.py data/en-dev/manifest.jsonl -m en

Each run is the whole command in a process of its own, start and model included, with text files as
its output. Runs on one core and on all cores take turns. The wall time counts here, so nothing
else should run. Linux only.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.manifest import read_manifest
from figures import Figure, keep


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", default="en")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", nargs="*", default=[], help="more of ds2 transcribe")
    args = parser.parse_args()
    paths = sorted({utterance.audio_path for utterance in read_manifest(args.manifest)})
    audio_s = sum(len(read_audio(path)) for path in paths) / SAMPLE_RATE_HZ
    cores = sorted(os.sched_getaffinity(0))
    shares = {"one core": {cores[0]}, f"{len(cores)} cores": set(cores)}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in shares}
    with tempfile.TemporaryDirectory() as folder:
        recordings = Path(folder, "recordings")
        recordings.mkdir()
        for path in paths:
            (recordings / path.name).symlink_to(path)
        command = [sys.executable, "-m", "ds2", "transcribe", str(recordings), "-m", args.model]
        command += ["-q", *args.options]
        _timed([*command, "-o", f"{folder}/warm"], set(cores))  # this run compiles and fills caches
        for turn in range(args.rounds):
            for name, share in shares.items():
                output = f"{folder}/{turn}-{len(share)}"
                runs[name].append(_timed([*command, "-o", output], share))
    table = Table(title=f"ds2 transcribe DIR: {len(paths)} recordings, {audio_s / 60:.1f} minutes")
    for heading in ("", "wall s", "CPU s", "CPU s for 1 s of audio", "hours of audio a minute"):
        table.add_column(heading, justify="right")
    for name, found in runs.items():
        wall_s, cpu_s = (median(each) for each in zip(*found, strict=True))
        hours = audio_s / 60 / wall_s
        row = (f"{wall_s:.2f}", f"{cpu_s:.2f}", f"{cpu_s / audio_s:.4f}", f"{hours:.2f}")
        table.add_row(name, *row)
        keep(Figure(f"hours of audio a minute, {name}", "", hours, more_is_better=True))
    Console(width=100).print(table)


def _timed(command: list[str], cores: set[int]) -> tuple[float, float]:
    """(wall s, CPU s) of a command that may use these cores."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun_s = time.perf_counter()
    subprocess.run(command, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    wall_s = time.perf_counter() - begun_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
