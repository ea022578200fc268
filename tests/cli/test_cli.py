"""The command line for a user: output, files, exit codes, one line for each error."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aids.models import TINY, write_random_bundle, write_random_checkpoint
from ds2.audio import write_wav
from ds2.cli import main
from ds2.model.bundle import load_bundle
from ds2.text.alphabet import english_characters

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_random_bundle(tmp_path_factory.mktemp("model")).path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    directory = tmp_path / "recordings"
    for name in ("a.wav", "b.wav", "inner/a.wav"):
        waveform = 0.1 * random.standard_normal(16_000) * np.repeat(random.random(20), 800)
        write_wav(directory / name, waveform.astype(np.float32))
    return directory


def test_one_recording_prints_its_text(
    model: str, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", str(recordings / "a.wav"), "-m", model]) == 0
    output = capsys.readouterr()
    assert output.out.strip()
    assert "\t" not in output.out
    assert output.err == ""


def test_several_recordings_print_their_names_in_order(
    model: str, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", str(recordings), "-m", model, "--jobs", "2"]) == 0
    names = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [str(recordings / name) for name in ("a.wav", "b.wav", "inner/a.wav")]


def test_every_form_is_written_and_no_name_is_used_twice(
    model: str, recordings: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = ["transcribe", str(recordings), "-m", model, "-f", "all", "-o", str(output)]
    assert main(arguments) == 0
    stems = {path.name.split(".")[0] for path in output.iterdir()}
    assert len(stems) == 3
    assert len(list(output.iterdir())) == 18
    assert json.loads((output / "b.json").read_text())["language"] == "en"
    assert (output / "b.ctm").read_text().startswith("b 1 ")


def test_standard_input_is_a_recording_or_raw_samples(
    model: str,
    recordings: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = []
    wav = (recordings / "a.wav").read_bytes()
    for data, options in ((wav, []), (wav[44:], ["--raw", "s16le"])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert main(["transcribe", "-", "-m", model, *options]) == 0
        texts.append(capsys.readouterr().out)
    assert main(["transcribe", str(recordings / "a.wav"), "-m", model]) == 0
    assert texts == [capsys.readouterr().out] * 2


def test_a_bad_recording_is_named_and_the_others_are_done(
    model: str, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recordings / "b.wav").write_bytes(b"")
    assert main(["transcribe", str(recordings), "nowhere.wav", "-m", model]) == 2
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 2
    assert output.err.splitlines() == [
        "ds2: nowhere.wav: no such file or directory",
        f"ds2: {recordings}/b.wav: is empty: there is no recording in it",
        "ds2: 2 of 4 recordings failed",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transcribe", "nowhere.wav"], "nowhere.wav: no such file or directory"),
        (
            ["transcribe", "A", "-f", "all"],
            "-f all: writes several files: name a directory with -o DIR",
        ),
        (["transcribe", "A", "--raw", "s16le"], "--raw: works with standard input only"),
        (["transcribe", "A", "--max-line-count", "2"], "max_line_count: needs max_line_width"),
        (["show", "A", "-o", "picture.doc"], "picture.doc: must end in .png, .svg, .pdf or .jpg"),
        (["show", "A", "-o", "p.png", "--duration", "0"], "--duration 0: must be above 0"),
        (["evaluate", "nowhere.jsonl"], "nowhere.jsonl: no such"),
        (["evaluate", "A", "--html", "/no/a.html"], "/no/a.html: cannot be written"),
        (["evaluate", "A", "--json", "/no/a.json"], "/no/a.json: cannot be written"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_in_one_line(
    model: str,
    recordings: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(recordings / "a.wav") if argument == "A" else argument for argument in arguments]
    assert main([*given, "-m", model]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"ds2: {message}")
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_a_model_that_is_not_there_is_named(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", str(recordings), "-m", "klingon"]) == 2
    assert "klingon: no such directory, and no bundle of that name" in capsys.readouterr().err


def test_evaluate_prints_figures_and_writes_reports(
    model: str, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"audio_filepath": "a.wav", "text": "Hello, world!", "speaker": "x", "source": "s"},
        {"audio_filepath": "b.wav", "text": "good bye", "speaker": "y", "source": "s"},
    ]
    manifest = recordings / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    reports = [tmp_path / name for name in ("r.html", "r.json", "h.jsonl")]
    options = ["--html", "--json", "--hypotheses"]
    written = [str(part) for pair in zip(options, reports, strict=True) for part in pair]
    assert main(["evaluate", str(manifest), "-m", model, "--by", "source", *written]) == 0
    output = capsys.readouterr().out
    for part in ("WER ", "CER ", "by length", "by source", "most confused", "said   HELLO"):
        assert part in output
    figures = json.loads(reports[1].read_text())
    assert figures["words"] == 4
    assert figures["wer"]["low"] <= figures["wer"]["rate"] <= figures["wer"]["high"]
    assert figures["source"]["s"]["utterances"] == 2
    answers = [json.loads(line) for line in reports[2].read_text().splitlines()]
    assert [answer["text"] for answer in answers] == ["Hello, world!", "good bye"]
    assert all("pred_text" in answer for answer in answers)
    assert "<del>hello</del>" in reports[0].read_text()


def test_an_utterance_without_text_cannot_be_judged(
    model: str, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = recordings / "manifest.jsonl"
    manifest.write_text('{"audio_filepath": "a.wav"}\n')
    assert main(["evaluate", str(manifest), "-m", model]) == 2
    assert "manifest.jsonl:1: has no text to compare with" in capsys.readouterr().err


def test_evaluate_names_texts_that_the_model_cannot_write(
    model: str, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = recordings / "manifest.jsonl"
    manifest.write_text('{"audio_filepath": "a.wav", "text": "hello 世界"}\n')
    assert main(["evaluate", str(manifest), "-m", model]) == 0
    assert "manifest.jsonl:1: 世 界; -m zh is the model for Mandarin\n" in capsys.readouterr().err


def test_show_draws_a_picture(
    model: str, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "picture.png"
    assert main(["show", str(recordings / "a.wav"), "-m", model, "-o", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in capsys.readouterr().out


@pytest.mark.slow
def test_show_names_characters_that_no_font_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import font_manager

    fonts = font_manager.fontManager.ttflist
    plain = [font for font in fonts if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", plain)
    sample, picture = str(ROOT / "samples" / "zh-1.ogg"), tmp_path / "picture.svg"
    command = ["show", sample, "-m", str(ROOT / "models" / "zh"), "-o", str(picture)]
    assert main(command) == 0
    assert "ds2: no installed font has " in capsys.readouterr().err
    assert (
        main(["show", str(ROOT / "samples" / "en-1.ogg"), *command[2:3], "en", *command[4:]]) == 0
    )
    assert not capsys.readouterr().err


def test_export_and_info_tell_what_they_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    write_random_checkpoint(checkpoint, TINY, english_characters())
    target = tmp_path / "bundle"
    arguments = ["export", str(checkpoint), "-o", str(target), "--weights", "int8"]
    assert main([*arguments, "--licence", "CC0-1.0"]) == 0
    assert "2 forward GRU layers of 16, lookahead 3" in capsys.readouterr().out
    assert load_bundle(target).licence == "CC0-1.0"
    assert main(["info", str(target)]) == 0
    output = capsys.readouterr().out
    for part in ("stored as int8", "every 30 ms", "220 ms of audio", "CC0-1.0"):
        assert part in output
    assert main(["info", str(tmp_path)]) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize("words", [["info", "en"], ["--help"], ["--version"]], ids=str)
def test_a_full_disk_gets_one_line(words: list[str]) -> None:
    code = f"import sys; from ds2.cli import main; sys.exit(main({words}))"
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (ran.returncode, ran.stderr) == (1, b"ds2: no space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_messages_that_cannot_be_written_change_nothing() -> None:
    code = "import sys; from ds2.cli import main; sys.exit(main(['info', 'no such model']))"
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=full, check=False)
    assert ran.returncode == 2


def test_a_name_that_is_too_long_is_wrong_input(capsys: pytest.CaptureFixture[str]) -> None:
    name = 300 * "x"
    assert main(["info", name]) == 2
    assert capsys.readouterr().err == f"ds2: {name}: file name too long\n"
