"""Work on a manifest in order, continued after a stop, on threads and on a Ray cluster."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ds2.cli import main
from ds2.corpora.work.resumable import Threads, do_all, results_in
from ds2.errors import InputError
from ds2.installation import install_command
from ds2.manifest import Utterance

ROOT = Path(__file__).parents[2]
SAMPLES = str(ROOT / "samples" / "manifest-en.jsonl")
MODEL = str(ROOT / "models" / "en")
UTTERANCES = [
    Utterance(Path(f"/{index}.wav"), text=f"text {index}", line=index) for index in range(20)
]


@dataclass(frozen=True)
class Count:
    """Returns each utterance's line; stops or fails where a test wants it."""

    model: str = "en"
    stop_at: int = -1
    fail_at: int = -1

    def facts(self) -> dict[str, Any]:
        return {"work": "count"}

    def start(self) -> Callable[[Utterance], dict[str, Any]]:
        def count(utterance: Utterance) -> dict[str, Any]:
            if utterance.line == self.stop_at:
                raise KeyboardInterrupt
            if utterance.line == self.fail_at:
                raise InputError("cannot be counted")
            return {"line": utterance.line}

        return count


def test_results_come_in_the_order_of_the_utterances(tmp_path: Path) -> None:
    part = tmp_path / "part"
    do_all(Count(fail_at=7), UTTERANCES, part, Threads(4))
    results = list(results_in(part))
    assert results.pop(7) == {"error": ".:7: cannot be counted"}
    assert results == [{"line": index} for index in range(20) if index != 7]


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_an_interrupted_run_goes_on_after_the_last_whole_line(tmp_path: Path, cut: int) -> None:
    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        do_all(Count(stop_at=12), UTTERANCES, part, Threads(2))
    part.write_bytes(part.read_bytes()[: -cut or None])  # as after a kill during a write
    seen: list[tuple[int, int]] = []

    def track(results: Any, num_before: int, total: int) -> Any:
        seen.append((num_before, total))
        return results

    do_all(Count(), UTTERANCES, part, Threads(1), track)
    assert list(results_in(part)) == [{"line": index} for index in range(20)]
    ((num_before, total),) = seen
    assert 0 < num_before <= 12
    assert total == 20


def test_what_a_run_on_something_else_left_is_refused(tmp_path: Path) -> None:
    part = tmp_path / "part"
    do_all(Count(), UTTERANCES, part, Threads())
    with pytest.raises(InputError, match="an interrupted run with other input or settings"):
        do_all(Count(), UTTERANCES[1:], part, Threads())
    assert len(list(results_in(part))) == 20
    part.write_text("no json\n")
    with pytest.raises(InputError, match="is not a list of results"):
        do_all(Count(), UTTERANCES, part, Threads())


def test_a_manifest_is_written_again_with_what_was_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    command = ["corpus", "transcribe", SAMPLES, "-m", MODEL, "--greedy", "-o", str(output)]
    assert main(command) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert (
        main(["transcribe", "-m", MODEL, "--greedy", *(row["audio_filepath"] for row in rows)]) == 0
    )
    texts = capsys.readouterr().out
    assert all(row["pred_text"] in texts and 0 < row["pred_confidence"] <= 1 for row in rows)
    assert [row["language"] for row in rows] == ["en", "en"]


needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")


@pytest.mark.slow
@needs_ray
def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """It runs in its own process: Ray leaves threads, and its workers must find the function."""
    script = ROOT / "tests" / "aids" / "ray_workers.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = list(results_in(tmp_path / "part"))
    assert [row["line"] for row in results] == list(range(40))
    assert (tmp_path / "killed").exists()
    assert len({row["process"] for row in results}) >= 2
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="is for those without Ray")
def test_without_ray_it_is_said_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out.jsonl")
    command = ["corpus", "transcribe", SAMPLES, "-m", MODEL, "-o", output, "--ray", "local"]
    assert main(command) == 2
    assert install_command("ray") in capsys.readouterr().err
