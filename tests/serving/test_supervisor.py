"""Workers that die, that cannot do their task, and that hear of signals to the whole group."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[1] / "aids" / "workers.py"
BOUND_S = 120.0


class Supervised:
    """A supervisor in a process group of its own."""

    def __init__(self, notes: Path, **habits: Any) -> None:
        self._notes = notes
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(notes), json.dumps(habits)],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def notes(self) -> list[tuple[float, str]]:
        """What its workers noted: when, in seconds, and what."""
        if not self._notes.exists():
            return []
        lines = self._notes.read_text(encoding="ascii").splitlines()
        return [(float(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]

    def wait_for(self, told: str) -> None:
        """Wait until a worker has noted it."""
        deadline_s = time.monotonic() + BOUND_S
        while told not in [each for _, each in self.notes()]:
            assert time.monotonic() < deadline_s, f"no worker {told}"
            assert self.process.poll() is None
            time.sleep(0.01)

    def signal_all(self, number: int) -> None:
        """Send a signal to the supervisor and its workers, as a terminal does."""
        os.killpg(self.process.pid, number)

    def end(self) -> tuple[int, list[str]]:
        """Its exit status and the messages of its log, once it has ended."""
        _, log = self.process.communicate(timeout=BOUND_S)
        return self.process.returncode, [json.loads(line)["message"] for line in log.splitlines()]


@contextmanager
def supervised(directory: Path, **habits: Any) -> Iterator[Supervised]:
    made = Supervised(directory / "notes", **habits)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.signal_all(signal.SIGKILL)
            made.process.communicate()


def test_workers_that_die_early_wait_ever_longer_until_the_supervisor_gives_up(
    tmp_path: Path,
) -> None:
    waits_s = [0.05, 0.1, 0.15]
    patience = {"first_wait_s": 0.05, "longest_wait_s": 0.15, "most_early_deaths": 4}
    with supervised(tmp_path, deaths=99, **patience) as made:
        status, log = made.end()
        begun_s = [at_s for at_s, _ in made.notes()]
    assert status == 1
    assert len(begun_s) == 4
    for wait_s, before_s, after_s in zip(waits_s, begun_s, begun_s[1:], strict=False):
        assert after_s - before_s >= wait_s
    assert log == [
        *(f"a worker died (3): a new one starts in {wait_s:g} s" for wait_s in waits_s),
        "a worker died 4 times right after its start",
    ]


@pytest.mark.parametrize(
    ("patience", "waits"),
    [({"first_wait_s": 0.01}, ["0.01 s", "0.02 s"]), ({"shortest_life_s": 0.0}, ["0 s", "0 s"])],
    ids=["that died early", "that had lived long"],
)
def test_a_worker_is_replaced(tmp_path: Path, patience: dict[str, float], waits: list[str]) -> None:
    """Early deaths count where they are too many in a row; others never do."""
    most = {"most_early_deaths": 3 if "first_wait_s" in patience else 1}
    with supervised(tmp_path, deaths=2, **patience, **most) as made:
        made.wait_for("is ready")
        made.process.send_signal(signal.SIGTERM)
        status, log = made.end()
        told = [each for _, each in made.notes()]
    assert status == 0
    assert told == ["begins", "begins", "begins", "is ready", "is told to end"]
    assert log == [f"a worker died (3): a new one starts in {wait}" for wait in waits]


def test_a_task_that_cannot_be_done_is_not_tried_again(tmp_path: Path) -> None:
    with supervised(tmp_path, refuses=True) as made:
        status, log = made.end()
        assert [each for _, each in made.notes()] == ["begins"]
    assert (status, log) == (2, ["the model: cannot be read"])


def test_a_signal_to_the_group_is_heard_once(tmp_path: Path) -> None:
    with supervised(tmp_path) as made:
        made.wait_for("is ready")
        made.signal_all(signal.SIGTERM)
        status, log = made.end()
        told = [each for _, each in made.notes()]
    assert (status, log) == (0, [])
    assert told == ["begins", "is ready", "is told to end"]


def test_a_second_signal_to_the_group_hurries_the_workers(tmp_path: Path) -> None:
    with supervised(tmp_path, ends_after_s=BOUND_S) as made:
        made.wait_for("is ready")
        made.signal_all(signal.SIGINT)
        made.wait_for("is told to end")
        made.signal_all(signal.SIGINT)
        status, _ = made.end()
        assert made.notes()[-1][1] == "is told to hurry"
    assert status == 0
