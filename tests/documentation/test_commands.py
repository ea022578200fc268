"""ds2 takes every command in the documentation, and the commands of the task pages run."""

import argparse
import ast
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from aids.material import make_material
from aids.pages import ALL, ROOT, TASKS, Call, blocks, commands_in
from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.cli import build_parser, main

NOT_RUN = {
    r"python3 -m venv ": "the tests run in an environment",
    r"pip (un)?install ": "the tests run in an environment that has it",
    r"ds2 serve": "runs until somebody stops it: tests/serving",
    r"ds2 listen": "needs a microphone: tests/cli/test_listen.py",
    r"arecord ": "needs a microphone",
    r"python examples/live_captions.py": "needs a server: tests/documentation/test_examples.py",
    r"docker |GRAFANA_PASSWORD=": "needs docker",
    r"aws ": "needs an account",
    r"curl ": "needs a server: tests/serving/openai/test_transcriptions.py",
    r"torchrun ": "needs several processes: tests/training/test_distributed.py",
    r"python benchmarks/": "takes long",
    r".* --download": "needs a network: tests/corpora/test_prepare.py",
    r"ds2 corpus prepare (librispeech|common-voice) ": "needs a corpus: tests/corpora",
    r"ds2 corpus split (all.jsonl more.jsonl|splits/)": "needs hours: tests/corpora/test_split.py",
    r"ds2 corpus synthesise": "needs espeak-ng: tests/synthesis",
    r"ds2 corpus filter": "needs hundreds of utterances: tests/corpora/test_filter.py",
    r"ds2 check talk.jsonl": "is of what filter writes",
    r"ds2 models get|ds2 transcribe talk.mp3 -m big": "needs an archive: tests/cli/test_models.py",
    r"tar |ds2 import ": "needs a published archive: tests/importing",
    r"ds2 .* models/wenetspeech|ds2 lm convert model.arpa.gz": "is of a published archive",
    r"ds2 train my.toml -o runs/my --set training.schedule": "begins the run of above anew",
    r"ds2 train runs/my --finish": "hears hours of audio: tests/training/test_resume.py",
    r"git clone ": "needs a network",
    r"python recipes/one-speaker/": "needs a corpus: tests/documentation/test_one_speaker.py",
    r"ds2 .*(data/words/|one-speaker)": "needs the recordings of a corpus",
}
"""Commands that no test in this file runs, each with the reason."""
SHORTER = {
    "train": ["--set", "training.epochs=1", "--set", "training.warmup_steps=1"],
    "tune": ["--trials", "2"],
}
"""Options that a test adds to make a command shorter."""


def reason_not_to_run(command: str) -> str | None:
    return next((why for what, why in NOT_RUN.items() if re.match(what, command)), None)


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    return build_parser()


@pytest.mark.slow
@pytest.mark.parametrize("page", ALL)
def test_every_command_shown_is_one_the_program_takes(
    page: str, parser: argparse.ArgumentParser
) -> None:
    for command in commands_in(page):
        call = Call.of(command)
        if call is not None:
            parser.parse_args(call.arguments)  # exits, and so fails, at the unknown


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    directory = tmp_path_factory.mktemp("material")
    make_material(directory)
    return directory


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in TASKS if commands_in(page)])
def test_the_commands_of_a_task_run(
    page: str,
    material: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for command in commands_in(page):
        if reason_not_to_run(command) is None:
            status = run(command, monkeypatch)
            told = capsys.readouterr()
            allowed = (0, 1) if command.startswith("ds2 check") else (0,)  # 1: it found something
            assert status in allowed, (command, told.err)


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command line here, or in a shell if it has pipes; return its exit status."""
    words = shlex.split(command, comments=True)
    if "|" in words:
        shell = f'ds2() {{ "{sys.executable}" -m ds2 "$@"; }}; set -o pipefail; {command}'
        tools = {words[0], *(after for at, after in pairwise(words) if at == "|")}
        lacking = [tool for tool in tools - {"ds2"} if shutil.which(tool) is None]
        if lacking:
            pytest.skip(f"needs {', '.join(lacking)}")
        return subprocess.run(["bash", "-c", shell], capture_output=True, check=False).returncode
    if words[0] == "python":
        monkeypatch.setattr(sys, "argv", words[1:])
        try:
            runpy.run_path(words[1], run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
        return 0
    call = Call.of(command)
    assert call is not None, f"{command}: run it, or say in NOT_RUN why not"
    if call.input_path is not None:
        data = Path(call.input_path).read_bytes()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    extra = next((more for verb, more in SHORTER.items() if verb in call.arguments[:2]), [])
    if "speaker.toml" in call.arguments:
        extra = ["--set", "training.hours=0.01", "--set", "training.decay_hours=0.005"]
    return main([*call.arguments, *extra])


def test_every_reason_not_to_run_a_command_has_a_command() -> None:
    shown = [command for page in TASKS for command in commands_in(page)]
    for what in NOT_RUN:
        assert any(re.match(what, command) for command in shown), what
    for why in NOT_RUN.values():
        for path in re.findall(r"tests/[\w/.]+", why):
            assert (ROOT / path).exists(), why


WHOLE_PROGRAMS = (
    "README.md",
    "docs/tutorial/first-transcript.md",
    "docs/how-to/transcribe-a-folder.md",
    "docs/how-to/calls.md",
)
"""Pages whose Python code is a whole program."""


@pytest.mark.slow
@pytest.mark.parametrize("page", WHOLE_PROGRAMS)
def test_the_python_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    import soundfile

    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    clips = [read_audio(ROOT / "samples" / f"en-{number}.ogg") for number in (1, 2)]
    both = np.stack([clips[0], np.resize(clips[1], len(clips[0]))], axis=1)
    soundfile.write(tmp_path / "call.wav", both, SAMPLE_RATE_HZ)
    monkeypatch.chdir(tmp_path)
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), {})
    assert "come back" in capsys.readouterr().out


@pytest.mark.parametrize("page", ALL)
def test_python_in_pages_can_be_compiled(page: str) -> None:
    for code in blocks(page, "python"):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(code, page, "exec", flags=flags)
