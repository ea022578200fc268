"""Live text on the command line."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ds2.cli import main
from ds2.cli.options.live import DIM, ERASE_LINE, PLAIN, LiveText
from ds2.transcripts.events import Endpoint, Final, Partial
from ds2.transcripts.transcript import Transcript, Word

ROOT = Path(__file__).parents[2]
MODEL = str(ROOT / "models" / "en")
SAMPLES = [str(ROOT / "samples" / f"en-{i}.ogg") for i in (1, 2)]


def final(text: str) -> Final:
    words = tuple(Word(word, 0.0, 1.0, 1.0) for word in text.split())
    return Final(Transcript(words, 1.0, "en"))


@pytest.mark.slow
def test_the_stream_of_a_recording_is_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", *SAMPLES, "-m", MODEL, "--stream", "--pace", "0"]) == 0
    shown = capsys.readouterr().out.splitlines()
    expected = []
    for sample in SAMPLES:
        assert main(["transcribe", sample, "-m", MODEL]) == 0
        expected.append(capsys.readouterr().out.strip())
    assert shown == expected


@pytest.mark.slow
def test_on_a_terminal_the_text_under_way_changes_in_place() -> None:
    reader, writer = pty.openpty()
    code = "import sys; from ds2.cli import main; sys.exit(main(sys.argv[1:]))"
    command = ["transcribe", SAMPLES[0], "-m", MODEL, "--stream", "--pace", "0"]
    subprocess.run([sys.executable, "-c", code, *command], stdout=writer, check=True)
    os.close(writer)
    shown = b""
    while True:
        try:
            shown += os.read(reader, 4096)
        except OSError:  # all has been read
            break
    assert shown.count(ERASE_LINE.encode()) > 5
    assert shown.decode().splitlines()[-1].strip()


def test_only_what_may_change_is_dim(capsys: pytest.CaptureFixture[str]) -> None:
    text = LiveText(80)
    text.show([Partial("good ", "mor"), Partial("good mor", "ning"), final("good morning")])
    shown = capsys.readouterr().out
    assert shown == (
        f"good {DIM}mor{PLAIN}{ERASE_LINE}good mor{DIM}ning{PLAIN}{ERASE_LINE}good morning\n"
    )


def test_a_long_line_shows_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    LiveText(10).show([Partial("one two ", "three four")])
    assert capsys.readouterr().out == f"{DIM}hree four{PLAIN}"


def test_without_a_terminal_only_what_is_done_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = LiveText(None)
    text.show([Partial("", "go"), final("good"), Endpoint(1.0, "pause"), final("")])
    assert capsys.readouterr().out == "good\n"


def test_streaming_refuses_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", SAMPLES[0], "-m", MODEL, "--stream", "-f", "srt"]) == 2
    assert capsys.readouterr().err.startswith("ds2: --stream: shows text on the terminal")


def test_a_recording_that_cannot_be_read_is_named_at_the_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty.wav").touch()
    files = [str(tmp_path / "empty.wav"), SAMPLES[0]]
    assert main(["transcribe", *files, "-m", MODEL, "--stream", "--pace", "0"]) == 2
    captured = capsys.readouterr()
    assert captured.out.strip()
    assert "empty.wav: is empty" in captured.err


def test_listening_without_a_microphone_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/dev/snd").exists():
        pytest.skip("there may be a microphone")
    assert main(["listen", "-m", MODEL]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ds2: ")
    assert error.count("\n") == 1
