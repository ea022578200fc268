"""A run killed at random moments ends with the weights of one that was let run, bit for bit.

`python tests/test_resume.py --kills 10` kills as often as one likes.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ds2.training.checkpoint import LAST, read_checkpoint
from tones import QUICKSTART, random_texts, tone_settings, write_tones

COMMAND = """
import sys
from pathlib import Path
from ds2.training.run import prepare_run_directory, train
source, *rest = sys.argv[1:]
run_dir = Path(rest.pop(0)) if rest else None
number = train(*prepare_run_directory(Path(source), run_dir, rest))
sys.exit(128 + number if number else 0)
"""
NUM_LINES = 45  # of the journal: 5 epochs of 8 steps and an evaluation


def start(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]", status: int = 0) -> None:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == status, errors.decode()


def lines(run_dir: Path) -> list[str]:
    path = run_dir / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def kill_after(process: "subprocess.Popen[bytes]", run_dir: Path, num_lines: int, how: int) -> None:
    """Kill the run when its journal has so many lines, and a random moment more."""
    while process.poll() is None and len(lines(run_dir)) < num_lines:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.1))
    process.send_signal(how)


def comparable(run_dir: Path) -> list[dict[str, Any]]:
    """The journal, less what depends on the clock."""
    records = [json.loads(line) for line in lines(run_dir)]
    return [{k: v for k, v in r.items() if k not in ("time", "speed")} for r in records]


def assert_same_runs(one: Path, other: Path) -> None:
    for name in (LAST, "best.safetensors"):
        a, b = (read_checkpoint(run_dir / "checkpoints" / name) for run_dir in (one, other))
        assert a.progress == b.progress
        for part in ("network", "optimiser"):
            tensors, others = getattr(a, part), getattr(b, part)
            assert tensors.keys() == others.keys()
            assert all(torch.equal(tensors[key], others[key]) for key in tensors), part
    assert comparable(one) == comparable(other)
    samples = [sorted((run_dir / "samples").iterdir()) for run_dir in (one, other)]
    assert [path.read_text() for path in samples[0]] == [path.read_text() for path in samples[1]]


def kill_and_resume(directory: Path, num_kills: int) -> int:
    """Compare a run let run with one killed so often; returns how many kills hit it running."""
    texts = random_texts(32)
    settings = tone_settings(
        write_tones(directory, "train", texts),
        write_tones(directory, "dev", texts[:4], 1),
        training__epochs=5,
        training__log_every=1,
        training__checkpoint_every_s=0.05,
        training__average_last=2,
        data__max_batch_size=4,
        data__num_workers=1,
        network__num_recurrent=2,
        network__dropout=0.2,
        augmentation__speed_probability=0.5,
        augmentation__mask_probability=1.0,
    )
    whole, killed = directory / "whole", directory / "killed"
    process = start(QUICKSTART, whole, *settings)
    arguments: list[str | Path] = [QUICKSTART, killed, *settings]
    num_hit = 0
    moments = sorted(random.choices(range(NUM_LINES), k=num_kills))
    for index, num_lines in enumerate(moments):
        run = start(*arguments)
        how = signal.SIGTERM if index % 3 == 1 else signal.SIGKILL
        kill_after(run, killed, num_lines, how)
        run.communicate(timeout=100)
        num_hit += run.returncode != 0
        assert not list((killed / "checkpoints").glob("*.damaged"))
        if (killed / "config.toml").exists():
            arguments = [killed]
    finish(start(*arguments))
    finish(process)
    assert_same_runs(whole, killed)
    return num_hit


def test_killed_at_random_moments_a_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    num_kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as directory:
        num_hit = kill_and_resume(Path(directory), num_kills)
    print(f"{num_hit} of {num_kills} kills hit the run; weights, optimiser and journal are equal")
