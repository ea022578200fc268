"""A command loads little at its start, so that it can report mistakes at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from ds2.cli import VERBS

SLOW_TO_LOAD = ("asyncio", "av", "numba", "numpy", "onnxruntime", "pydantic", "rich", "torch")
RUN = """
import sys
from ds2.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:  # argparse's
    status = end.code
print("LOADED", status, *sorted(sys.modules))
"""


def run(*arguments: str, directory: Path) -> tuple[int, set[str]]:
    """The exit status of a command, and the modules that it loaded."""
    process = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, cwd=directory
    )
    assert process.returncode == 0, process.stderr
    _, status, *modules = process.stdout.splitlines()[-1].split()
    return int(status), set(modules)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_loads_no_library(verb: str, tmp_path: Path) -> None:
    status, modules = run(*filter(None, [verb]), "--help", directory=tmp_path)
    assert status == 0
    assert not modules & set(SLOW_TO_LOAD)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    ["train nope.toml", "train settings.toml", "export nope -o out", "export . -o settings.toml"],
)
def test_mistakes_in_training_are_told_before_torch_loads(command: str, tmp_path: Path) -> None:
    settings = '[data]\ntrain = ["train.jsonl"]\ndev = ["dev.jsonl"]\n'
    (tmp_path / "settings.toml").write_text(settings)
    (tmp_path / "checkpoints").mkdir()
    status, modules = run(*command.split(), directory=tmp_path)
    assert status == 2
    assert "torch" not in modules


@pytest.mark.parametrize(
    "command",
    ["transcribe nope.wav -m nope", "evaluate nope.jsonl -m nope", "align nope.jsonl -m nope"],
)
def test_mistakes_in_names_are_told_before_a_model_is_loaded(command: str, tmp_path: Path) -> None:
    status, modules = run(*command.split(), directory=tmp_path)
    assert status == 2
    assert not modules & {"numba", "onnxruntime", "torch"}
