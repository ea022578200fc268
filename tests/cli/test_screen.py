"""Output on any screen: encodings, closed streams, mistakes, Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ds2.audio import write_wav
from ds2.cli import main

ROOT = Path(__file__).parents[2]
ZH = str(ROOT / "models" / "zh")
MANIFEST = str(ROOT / "samples" / "manifest-zh.jsonl")
CLIP = str(ROOT / "samples" / "zh-1.ogg")
NARROW = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
"""Environments whose standard output has no Chinese characters."""
COMMANDS = (
    ("transcribe", CLIP, "-m", ZH, "--greedy"),
    ("transcribe", CLIP, "-m", ZH, "--greedy", "--stream", "--pace", "0"),
    ("align", MANIFEST, "-m", ZH),
    ("evaluate", MANIFEST, "-m", ZH, "--greedy"),
    ("check", MANIFEST),
    ("--help",),
)


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in its own process, with its output in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "ds2", *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_pipe_that_is_not_utf8_gets_escapes(arguments: tuple[str, ...]) -> None:
    ran = run(*arguments, **NARROW["ascii"])
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.isascii()
    assert b"Traceback" not in ran.stderr


@pytest.fixture(scope="module")
def wide() -> bytes:
    """The JSON of a recording, in UTF-8."""
    return run("transcribe", CLIP, "-m", ZH, "--greedy", "-f", "json", PYTHONUTF8="1").stdout


@pytest.mark.slow
@pytest.mark.parametrize("environment", NARROW.values(), ids=NARROW)
def test_json_loses_nothing_in_a_pipe_that_is_not_utf8(
    environment: dict[str, str], wide: bytes
) -> None:
    narrow = run("transcribe", CLIP, "-m", ZH, "--greedy", "-f", "json", **environment).stdout
    assert narrow.isascii()
    assert not wide.isascii()
    assert json.loads(narrow) == json.loads(wide)


@pytest.mark.slow
@pytest.mark.parametrize("environment", NARROW.values(), ids=NARROW)
def test_files_are_utf8_always(environment: dict[str, str], wide: bytes, tmp_path: Path) -> None:
    arguments = ("transcribe", CLIP, "-m", ZH, "--greedy")
    assert run(*arguments, "-o", str(tmp_path / "o.json"), **environment).returncode == 0
    assert (tmp_path / "o.json").read_bytes() == wide
    with (tmp_path / "redirected.json").open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "ds2", *arguments, "-f", "json"],
            stdout=file,
            check=True,
            env={**os.environ, **environment},
        )
    assert (tmp_path / "redirected.json").read_bytes() == wide


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="file names are Unicode there")
def test_names_that_are_no_text_are_shown_and_written(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    write_wav(tmp_path / "a.wav", np.zeros(8_000, np.float32))
    os.rename(os.fsencode(tmp_path / "a.wav"), name)  # noqa: PTH104
    arguments = ["-m", str(ROOT / "models" / "en"), "--greedy", "-f", "ctm"]
    ran = run("transcribe", os.fsdecode(name), *arguments)
    assert (ran.returncode, ran.stderr) == (0, b"")
    missing = run("transcribe", os.fsdecode(name) + "x", *arguments)
    assert missing.returncode == 2
    assert rb"caf\udce9.wavx: no such file" in missing.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell for people on Unix")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(closed: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m ds2 transcribe {CLIP} -m {ZH} --greedy -f all -o {tmp_path}/o"
    ran = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert len(list((tmp_path / "o").iterdir())) == 6
    command = f"{sys.executable} -m ds2 transcribe - -m {ZH} {closed}"
    ran = subprocess.run(
        ["sh", "-c", command], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 2
    if "2>" not in closed:
        assert ran.stderr == b"ds2: standard input: is empty: there is no recording in it\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transcrib", "a"], "ds2: transcrib: there is no such command: did you mean transcribe?"),
        (["corpus", "stat"], "ds2 corpus: stat: there is no such command: did you mean stats?"),
        (
            ["transcribe", "a", "--formt", "srt"],
            "ds2 transcribe: --formt: there is no such option: did you mean --format?",
        ),
        (
            ["transcribe", "a", "-f", "str"],
            "ds2 transcribe: -f/--format/--output_format: str is not a choice: did you mean srt?",
        ),
        (
            ["info", "a", "b"],
            "ds2 info: b: is one argument too many: `ds2 info --help` shows all arguments",
        ),
        (
            ["transcribe"],
            "ds2 transcribe: missing: FILE|DIR|-: `ds2 transcribe --help` shows all arguments",
        ),
        (
            ["transcribe", "a.wav", "-m", ""],
            "ds2: the argument after -m is empty: is a variable of the shell not set?",
        ),
    ],
    ids=str,
)
def test_a_mistake_gets_one_line_with_what_was_meant(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err == message + "\n"


def test_a_model_of_nearly_this_name_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["transcribe", CLIP, "-m", "zhh"]) == 2
    assert capsys.readouterr().err.endswith(": did you mean zh?\n")


def test_an_address_is_refused_in_words_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["transcribe"], ["evaluate"], ["corpus", "stats"]):
        model = ["-m", ZH] if command != ["corpus", "stats"] else []
        assert main([*command, "https://example.com/a.wav", *model]) == 2
        assert "https://example.com/a.wav: is " in capsys.readouterr().err


def test_a_recording_is_no_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", CLIP, "-m", ZH]) == 2
    assert "`ds2 align` reads manifests" in capsys.readouterr().err
    assert main(["check", CLIP]) == 2
    assert "is a recording, but a manifest must be here" in capsys.readouterr().err


def test_quiet_leaves_results_and_verbose_tells_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["transcribe", CLIP, "-m", ZH, "--greedy"]
    assert main([*arguments, "-q"]) == 0
    quiet = capsys.readouterr()
    assert quiet.out
    assert quiet.err == ""
    assert main(["-v", *arguments]) == 0
    assert f"ds2: model {ZH}: zh, " in capsys.readouterr().err
    assert main([*arguments, "-o", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*arguments, "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'zh-1.txt'}\n"


def test_nothing_is_folded_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = tmp_path / ("long" * 40 + ".jsonl")
    audio = {"audio_filepath": CLIP, "text": "今天" * 60, "source": "s" * 120}
    name.write_text(json.dumps(audio) + "\n", encoding="utf-8")
    assert main(["corpus", "stats", str(name)]) == 0
    assert str(name) in capsys.readouterr().out
    assert main(["check", str(name)]) in (0, 1)
    assert f" {name} " in capsys.readouterr().out
    assert main(["evaluate", str(name), "-m", ZH, "--greedy", "--by", "source"]) == 0
    assert "s" * 120 in capsys.readouterr().out


def on_a_terminal(*arguments: str) -> str:
    """The output of a command on a terminal with 80 columns."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ds2", *arguments], stdout=follower, stderr=subprocess.PIPE
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while data := os.read(leader, 4096):
                shown += data
        except OSError:  # the other end was closed
            pass
    os.close(leader)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_a_terminal_shows_segments_with_times() -> None:
    arguments = ("transcribe", CLIP, "-m", ZH, "--greedy")
    text = run(*arguments, PYTHONIOENCODING="utf-8").stdout.decode()
    shown = on_a_terminal(*arguments)
    assert shown.startswith("[00:00.")
    assert [line.split("]  ")[1] for line in shown.splitlines()] == text.splitlines()
    assert on_a_terminal(*arguments, "-f", "txt") == text


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_is_acknowledged() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "ds2", "transcribe", "-", "-m", ZH, "--greedy", "--verbose"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell lets background processes ignore SIGINT, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith(b"ds2: language model"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)  # while it loads the model, or waits for sound
        assert process.stderr.read().startswith(b"ds2: interrupted")
        assert process.wait() == 130


def test_shells_can_complete(tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    script = run("completion", "bash").stdout.decode()
    assert "ds2" in script
    answers = tmp_path / "answers"
    line = "ds2 transcribe --form"
    run(
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answers),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    assert answers.read_text().strip() == "--format"
