"""Measure how soon ds2 is ready: the command, the import, a model, and the first text.

    python benchmarks/opening.py -m en

Each figure is the median of processes that run one after another, on one core: CPU seconds and
wall seconds. The first text is that of a second of silence, with everything compiled before.
"""

import argparse
import json
import subprocess
import sys
from statistics import median

from rich.console import Console
from rich.table import Table

from figures import Figure, keep

MEASURED = """
import json, os, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
marks = [(time.process_time(), time.perf_counter())]
mark = lambda: marks.append((time.process_time(), time.perf_counter()))
import numpy as np
from ds2 import Recognizer
import ds2.recognition.recognizer, ds2.ctc.beam_search
mark()
recognizer = Recognizer.load(sys.argv[1])
mark()
recognizer.transcribe(np.zeros(16000, np.float32))
mark()
print(json.dumps(marks))
"""
STEPS = ("import ds2 and its parts", "open a model", "first second of audio")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", default="en")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in STEPS}
    helps = []
    for turn in range(args.rounds + 1):
        marks = json.loads(_printed([sys.executable, "-c", MEASURED, args.model]))
        helped = _help_s()
        if turn:  # the first one compiles and fills caches
            helps.append(helped)
            for name, before, after in zip(STEPS, marks, marks[1:], strict=False):
                rows[name].append((after[0] - before[0], after[1] - before[1]))
    table = Table("", "CPU s", "wall s", title=f"medians of {args.rounds} processes")
    for name, found in rows.items():
        cpu_s, wall_s = (median(each) for each in zip(*found, strict=True))
        table.add_row(name, f"{cpu_s:.3f}", f"{wall_s:.3f}")
        keep(Figure(name, "CPU s", cpu_s))
    table.add_row("ds2 --help", f"{median(helps):.3f}", "")
    keep(Figure("ds2 --help", "CPU s", median(helps)))
    Console().print(table)


def _help_s() -> float:
    """CPU seconds of `ds2 --help`."""
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run([sys.executable, '-m', 'ds2', '--help'], stdout=subprocess.DEVNULL);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(used.ru_utime + used.ru_stime)"
    )
    return float(_printed([sys.executable, "-c", code]))


def _printed(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()[-1]


if __name__ == "__main__":
    main()
