"""Draw the development error rate of runs over the hours of audio that they have heard.

    python recipes/draw_curves.py en=runs/en "en, final decay=runs/en-decay" -o curves.png
    python recipes/draw_curves.py zh=runs/zh --shipped 58.0 -o curves.png

Reads `metrics.jsonl` of each run. The run of a final decay repeats the points of the run that it
goes on from; the picture shows them once.
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def main() -> None:
    """Read the runs and write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN_DIR")
    parser.add_argument("--shipped", type=float, help="error rate of the model before, in per cent")
    parser.add_argument("--train", type=float, help="error rate on training clips, in per cent")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a .png or .svg")
    args = parser.parse_args()
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    drawn: set[int] = set()
    last: tuple[float, float] | None = None
    for text in args.runs:
        name, _, directory = text.rpartition("=")
        points = {step: point for step, point in _points(Path(directory)) if step not in drawn}
        drawn |= points.keys()
        line = sorted(points.values())
        if last is not None and line:  # a decay goes on from the last point before it
            line = [last, *line]
        last = line[-1] if line else last
        axes.plot(*zip(*line, strict=True), marker="o", markersize=4, label=f"{name}, greedy CER")
    if args.shipped is not None:
        axes.axhline(args.shipped, color="grey", linestyle="--", label="the model before")
    if args.train is not None and last is not None:
        axes.plot([last[0]], [args.train], "s", color="black", label="the same on training clips")
    axes.set_xlabel("hours of audio heard, repetitions counted")
    axes.set_ylabel("character error rate, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(args.output, dpi=110)


def _points(directory: Path) -> list[tuple[int, tuple[float, float]]]:
    """(step, (hours heard, CER in per cent)) of each evaluation."""
    found = []
    hours = 0.0
    for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        hours = record.get("audio_h", hours)
        if record["kind"] == "dev":
            found.append((record["step"], (hours, 100 * record["cer"])))
    return found


if __name__ == "__main__":
    main()
