"""Every command that the documentation shows is one that the program takes; the README's run."""

import io
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from ds2.cli import build_parser, main

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("docs/**/*.md")))]
PAGES += [str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("recipes/*/README.md"))]
PAGES += [str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("models/*/README.md"))]


def commands_in(page: str) -> list[str]:
    """The lines of console blocks, continued ones joined."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def ds2_arguments(command: str) -> list[str] | None:
    """What the command gives to ds2, if it calls it."""
    words = shlex.split(command, comments=True)
    for mark in ("|", "--no-python"):
        if mark in words:
            words = words[words.index(mark) + 1 :]
    if "<" in words:
        words = words[: words.index("<")]
    if not words or Path(words[0]).name != "ds2":
        return None
    return words[1:]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_shown_is_one_the_program_takes(page: str) -> None:
    for command in commands_in(page):
        arguments = ds2_arguments(command)
        if arguments is not None:
            build_parser().parse_args(arguments)  # exits, and so fails, at what it does not know


def test_the_commands_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    for directory in ("samples", "recipes", "models"):
        shutil.copytree(
            ROOT / directory, tmp_path / directory, ignore=shutil.ignore_patterns("data")
        )
    monkeypatch.chdir(tmp_path)
    ran = []
    for command in commands_in("README.md"):
        words = shlex.split(command, comments=True)
        if words[0] == "python":
            monkeypatch.setattr(sys, "argv", words[1:])
            runpy.run_path(words[1], run_name="__main__")
        arguments = ds2_arguments(command)
        if arguments is None or arguments[0] == "serve":  # which runs until it is stopped
            continue
        if "<" in words:
            data = Path(words[words.index("<") + 1]).read_bytes()
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        if arguments[0] == "train":  # the rest of its minute teaches a test nothing
            arguments += ["--set", "training.epochs=1"]
        assert main(arguments) == 0, (command, capsys.readouterr().err)
        ran.append(arguments[0])
    assert set(ran) >= {"transcribe", "info", "show", "evaluate", "check", "train", "export"}
    assert (tmp_path / "out" / "quickstart" / "bundle.json").is_file()


def test_the_python_of_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    del capsys


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, "CONTRIBUTING.md"]:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
