"""The programs in examples/ and the notebook run and do what they promise."""

import json
import os
import re
import runpy
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aids.listening import listening
from aids.pages import ROOT
from ds2 import Recognizer
from ds2.audio import read_audio

EXAMPLES = ROOT / "examples"
SAMPLES = ROOT / "samples"
HEARD = "please come back"
"""The text of samples/en-1.ogg from the shipped model."""


def run(
    name: str,
    *arguments: str | Path,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """Run an example in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)  # ValueError for a message: the example gave up
    return 0


def microphone_that_plays(waveform: np.ndarray) -> types.ModuleType:
    """A sounddevice whose microphone plays the waveform; then somebody presses Ctrl-C."""

    class InputStream:
        def __init__(self, *, samplerate: int, channels: int, dtype: str) -> None:
            assert (samplerate, channels, dtype) == (16_000, 1, "float32")
            self.rest = waveform

        def __enter__(self) -> "InputStream":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def read(self, num_samples: int) -> tuple[np.ndarray, bool]:
            if len(self.rest) == 0:
                raise KeyboardInterrupt
            block, self.rest = self.rest[:num_samples], self.rest[num_samples:]
            return block[:, np.newaxis], False

    module = types.ModuleType("sounddevice")
    module.InputStream = InputStream  # type: ignore[attr-defined]
    return module


def test_microphone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    device = microphone_that_plays(read_audio(SAMPLES / "en-1.ogg"))
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    assert run("microphone.py", monkeypatch=monkeypatch) == 0
    said = Recognizer.load("en").transcribe(SAMPLES / "en-1.ogg").text
    assert capsys.readouterr().out.rstrip().endswith(said + "\033[K")


def test_batch_subtitles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "one.ogg").write_bytes((SAMPLES / "en-1.ogg").read_bytes())
    (folder / "broken.wav").write_bytes(b"no sound")
    assert run("batch_subtitles.py", folder, tmp_path / "out", monkeypatch=monkeypatch) == 1
    assert "broken.wav" in capsys.readouterr().err
    subtitles = (tmp_path / "out" / "below" / "one.srt").read_text()
    assert re.match(r"1\n00:00:00,\d{3} --> ", subtitles)
    assert HEARD in subtitles


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with listening({"en": Recognizer.load("en")}) as at:
        yield f"ws://{at}/v1/stream"


def test_live_captions(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("live_captions.py", SAMPLES / "en-1.ogg", server, monkeypatch=monkeypatch) == 0
    *partials, last = capsys.readouterr().out.splitlines()
    assert len(partials) > 3
    assert all("|" in partial for partial in partials)
    assert re.match(r"\[0\.\d s\] ", last)
    assert HEARD in last


def test_live_captions_needs_no_part_of_ds2() -> None:
    code = (EXAMPLES / "live_captions.py").read_text()
    assert "import ds2" not in code
    assert "from ds2" not in code


@pytest.mark.slow
def test_search_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    index = ["--index", tmp_path / "index"]
    assert run("search_audio.py", SAMPLES, "Next train", *index, monkeypatch=monkeypatch) == 0
    *_, found = capfd.readouterr().out.splitlines()
    name, time, text = found.split("\t")
    assert (name, time[:6], text) == ("en-2", "0:00:0", "the next train to the city")
    monkeypatch.setenv("PATH", os.devnull)  # the index is there: nothing is recognised again
    assert run("search_audio.py", tmp_path, "unicorn", *index, monkeypatch=monkeypatch) == 1


@pytest.mark.slow
def test_fine_tune(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    lines = []
    for line in (SAMPLES / "manifest-en.jsonl").read_text().splitlines():
        fields = json.loads(line)
        fields["audio_filepath"] = str(SAMPLES / fields["audio_filepath"])
        lines.append(json.dumps(fields) + "\n")
    manifest = tmp_path / "mine.jsonl"
    manifest.write_text("".join(lines))
    command = [sys.executable, EXAMPLES / "fine_tune.py", manifest, tmp_path / "out"]
    done = subprocess.run(
        [*command, "--hours", "0.002"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("character error rate: ")
    assert Recognizer.load(tmp_path / "out" / "model").bundle.language == "en"


def test_the_notebook_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    notebook = json.loads((EXAMPLES / "look_inside.ipynb").read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    num_figures = len(plt.get_fignums())
    plt.close("all")
    shown = capsys.readouterr().out
    assert num_figures == 4
    assert HEARD in shown
    right, wrong = (float(part.split()[-1]) for part in shown.splitlines()[-1].split(","))
    assert right > wrong
