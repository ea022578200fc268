"""Training runs in their own processes: start, kill, compare."""

import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ds2.training.run.checkpoint import LAST, read_checkpoint

TESTS = Path(__file__).parents[1]

TRAIN = """
import sys
from pathlib import Path
from ds2.training.run.directory import prepare_run_directory
from ds2.training.run.run import train
source, *rest = sys.argv[1:]
run_dir = Path(rest.pop(0)) if rest else None
number = train(*prepare_run_directory(Path(source), run_dir, rest))
sys.exit(128 + number if number else 0)
"""
TRAIN_TONES = """
import sys
from pathlib import Path
from aids.tones import QUICKSTART
from ds2.training.run.directory import prepare_run_directory
from ds2.training.run.run import train
train(*prepare_run_directory(QUICKSTART, Path(sys.argv[1]), sys.argv[2:]))
"""


def start(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", TRAIN, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]", status: int = 0) -> None:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == status, errors.decode()


def lines(run_dir: Path) -> list[str]:
    path = run_dir / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def kill_after(process: "subprocess.Popen[bytes]", run_dir: Path, num_lines: int, how: int) -> None:
    """Kill the run a random moment after its journal has this number of lines."""
    while process.poll() is None and len(lines(run_dir)) < num_lines:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.1))
    process.send_signal(how)


def comparable(run_dir: Path) -> list[dict[str, Any]]:
    """The journal without the parts that depend on the clock."""
    records = [json.loads(line) for line in lines(run_dir)]
    return [{k: v for k, v in r.items() if k not in ("time", "speed")} for r in records]


def assert_same_runs(one: Path, other: Path) -> None:
    for name in (LAST, "best.safetensors"):
        a, b = (read_checkpoint(run_dir / "checkpoints" / name) for run_dir in (one, other))
        assert a.progress == b.progress
        for part in ("network", "optimiser", "average"):
            tensors, others = getattr(a, part), getattr(b, part)
            assert tensors.keys() == others.keys()
            assert all(torch.equal(tensors[key], others[key]) for key in tensors), part
    assert comparable(one) == comparable(other)
    samples = [sorted((run_dir / "samples").iterdir()) for run_dir in (one, other)]
    assert [path.read_text() for path in samples[0]] == [path.read_text() for path in samples[1]]


def train_with_processes(num_processes: int, run_dir: Path, settings: list[str]) -> None:
    """Start processes that know their rank, as `torchrun` does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    processes = []
    for rank in range(num_processes):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(num_processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(TESTS),
        }
        command = [sys.executable, "-c", TRAIN_TONES, str(run_dir), *settings]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()


def records(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of a kind in a run's journal."""
    return [record for record in map(json.loads, lines(run_dir)) if record["kind"] == kind]
