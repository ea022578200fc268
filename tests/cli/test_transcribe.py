"""`ds2 transcribe` where output can go wrong: equal names, impossible paths, cores."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aids.models import write_random_bundle
from ds2.audio import write_wav
from ds2.cli import main
from ds2.cli.transcribe import FORMATS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_random_bundle(tmp_path_factory.mktemp("model")).path)


def write_recordings(directory: Path, *names: str) -> list[str]:
    random = np.random.default_rng(0)
    for name in names:
        write_wav(directory / name, (0.1 * random.standard_normal(12_000)).astype(np.float32))
    return [str(directory / name) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["a.wav", "b.wav"], ["a", "b"]),
        (["a.wav", "a.b.wav"], ["a", "a.b"]),
        (["a.wav", "x/a.wav", "y/a.wav"], ["a_wav", "a_wav-2", "a_wav-3"]),
        (["a.wav", "x/a.wav", "a_wav.wav"], ["a_wav", "a_wav-2", "a_wav-3"]),
        (["a.wav", "x/A.wav"], ["a_wav", "A_wav-2"]),
    ],
    ids=str,
)
def test_no_two_recordings_write_the_same_file(
    model: str, tmp_path: Path, names: list[str], written: list[str]
) -> None:
    recordings = write_recordings(tmp_path, *names)
    assert main(["transcribe", *recordings, "-m", model, "-o", str(tmp_path / "out")]) == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {*written}


def test_a_place_that_is_no_directory_is_named(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = write_recordings(tmp_path, "a.wav")
    for place in (tmp_path / "a.wav", tmp_path / "a.wav" / "inner"):
        assert main(["transcribe", *recordings, "-m", model, "-o", str(place)]) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"ds2: -o {place}: cannot be a directory: ")
        assert message.count("\n") == 1


def test_a_wrong_model_leaves_no_directory(tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path, "a.wav")
    assert main(["transcribe", *recordings, "-m", "klingon", "-o", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["srt", "vtt", "tsv", "json"])
def test_several_files_are_not_run_together_on_standard_output(
    model: str, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = write_recordings(tmp_path, "a.wav", "b.wav")
    assert main(["transcribe", *recordings, "-m", model, "-f", form]) == 2
    assert capsys.readouterr().err == (
        f"ds2: -f {form}: writes a file for each of the 2 recordings: name a directory with -o "
        "DIR\n"
    )
    assert main(["transcribe", recordings[0], "-m", model, "-f", form]) == 0


def test_ctm_names_the_recordings_itself(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = write_recordings(tmp_path, "a 1.wav", "b.wav")
    assert main(["transcribe", *recordings, "-m", model, "-f", "ctm"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"a_1", "b"}
    assert {len(line.split()) for line in lines} == {6}


def test_more_cores_than_recordings_give_the_same_text(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = write_recordings(tmp_path, "a.wav")
    texts = []
    for jobs in ("1", "2"):
        assert main(["transcribe", *recordings, "-m", model, "--jobs", jobs]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != ""


def test_numbers_that_are_none_are_named(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for verb, value in itertools.product(("transcribe", "evaluate"), ("0", "-1", "x", "1.5")):
        with pytest.raises(SystemExit):
            main([verb, "a.wav", "-m", model, f"--jobs={value}"])
        assert f"must be a whole number from 1 on, not {value}" in capsys.readouterr().err


def test_a_name_that_ends_like_a_format_is_one_file(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recording,) = write_recordings(tmp_path, "a.wav")
    for form, options in (("srt", ["-f", "srt"]), ("vtt", []), ("json", []), ("ctm", [])):
        output = tmp_path / f"out.{form}"
        assert main(["transcribe", recording, "-m", model, "-o", str(output), *options]) == 0
        assert capsys.readouterr().out == f"wrote {output}\n"
        assert main(["transcribe", recording, "-m", model, "-f", form]) == 0
        assert output.read_text() == capsys.readouterr().out


def test_one_file_takes_several_recordings_where_the_format_can(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = write_recordings(tmp_path, "a.wav", "x/a.wav")
    output = tmp_path / "out.ctm"
    assert main(["transcribe", *recordings, "-m", model, "-o", str(output)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"ds2: {recordings[0]} is written as a_wav: another recording has its name",
        f"ds2: {recordings[1]} is written as a_wav-2: another recording has its name",
    ]
    assert {line.split()[0] for line in output.read_text().splitlines()} == {"a_wav", "a_wav-2"}
    for name, told in (
        (
            "out.srt",
            "srt is written as a file for each of the 2 recordings: name a directory with -o DIR",
        ),
        ("out.srt -f vtt", "ends in .srt, but -f is vtt: change one of them"),
        ("out.txt -f all", "ends in .txt, but -f is all: change one of them"),
    ):
        path, *options = name.split()
        output = tmp_path / path
        arguments = ["transcribe", *recordings, "-m", model, "-o", str(output), *options]
        assert main(arguments) == 2
        assert capsys.readouterr().err == f"ds2: -o {output}: {told}\n"
        assert not output.exists()


def test_no_file_is_made_of_nothing(model: str, tmp_path: Path) -> None:
    empty = tmp_path / "a.wav"
    empty.write_bytes(b"")
    output = tmp_path / "out.txt"
    assert main(["transcribe", str(empty), "-m", model, "-o", str(output)]) == 2
    assert not output.exists()


def test_whispers_names_are_ours(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recording,) = write_recordings(tmp_path, "a.wav")
    arguments = ["transcribe", recording, "--model", model, "--language", "English"]
    options = ["--output_format", "json", "--output_dir", str(tmp_path / "o")]
    assert main([*arguments, *options, "--word_timestamps", "False"]) == 0
    (segment, *_) = json.loads((tmp_path / "o" / "a.json").read_text())["segments"]
    assert "words" not in segment
    assert main([*arguments, *options, "--word_timestamps", "True"]) == 0
    (segment, *_) = json.loads((tmp_path / "o" / "a.json").read_text())["segments"]
    assert segment["words"]
    capsys.readouterr()
    assert main([*arguments[:-1], "zh"]) == 2
    told = f"ds2: --language zh: the model {model} is for en: change one of them\n"
    assert capsys.readouterr().err == told
    with pytest.raises(SystemExit, match="2"):
        main([*arguments[:-1], "klingon"])
    assert "klingon: ds2 comes with no model of this language" in capsys.readouterr().err


def test_a_language_alone_chooses_the_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    assert main(["transcribe", "samples/zh-1.ogg", "--language", "zh", "--greedy"]) == 0
    assert not capsys.readouterr().out.isascii()


STRANGE = [
    b"n" * 238 + b".wav",
    b"n" * 251 + b".wav",
    "\u4e2d".encode() * 83 + b".wav",  # 253 bytes
    b"caf\xe9.wav",
    b"new\nline.wav",
    b"tab\tname.wav",
    b"-dash.wav",
    b"  space .wav",
]


def write_strangely_named(directory: Path) -> list[str]:
    (plain,) = write_recordings(directory.parent, "plain.wav")
    directory.mkdir()
    for name in STRANGE:
        Path(os.fsdecode(os.fsencode(directory) + b"/" + name)).write_bytes(
            Path(plain).read_bytes()
        )
    return [str(path) for path in directory.iterdir()]


@pytest.mark.parametrize("form", [*FORMATS, "all"])
def test_names_of_any_kind_are_written(
    model: str, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_strangely_named(tmp_path / "in")
    out = tmp_path / "out"
    assert main(["transcribe", str(tmp_path / "in"), "-m", model, "-f", form, "-o", str(out)]) == 0
    written = sorted(os.fsencode(path.name) for path in out.iterdir())
    num_forms = len(FORMATS) if form == "all" else 1
    assert len(written) == len(STRANGE) * num_forms
    assert b"caf\xe9" in {name.rpartition(b".")[0] for name in written}
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1
    assert notes[0].endswith(": its name is too long")
    for name in written:
        (out / os.fsdecode(name)).read_text(encoding="utf-8")


def test_names_with_control_characters_keep_their_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = write_strangely_named(tmp_path / "in")
    (tmp_path / "in" / "bad\n\x1b[31m.wav").write_text("no sound")
    assert main(["transcribe", str(tmp_path / "in"), "-m", model]) == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == len(names)
    assert {line.count("\t") for line in said.out.splitlines()} == {1}
    problem, last = said.err.splitlines()
    assert "bad\\n\\x1b[31m.wav: " in problem
    assert last == f"ds2: 1 of {len(names) + 1} recordings failed"


def test_a_file_that_cannot_be_written_does_not_end_the_batch(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = write_recordings(tmp_path, "a.wav", "b.wav", "c.wav")
    out = tmp_path / "out"
    (out / "b.json").mkdir(parents=True)  # in the way
    (tmp_path / "d.wav").write_text("no sound")
    arguments = [*recordings, str(tmp_path / "d.wav"), "nowhere.wav"]
    assert main(["transcribe", *arguments, "-m", model, "-f", "all", "-o", str(out)]) == 2
    assert (out / "a.ctm").exists()
    assert (out / "c.ctm").exists()
    problems = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"ds2: {out / 'b.json'}: cannot be written: ") for line in problems)
    assert problems[-1] == "ds2: 3 of 5 recordings failed"
    assert not list(out.glob(".*"))


def test_a_file_that_looks_like_an_option_is_explained(
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recordings(tmp_path, "-dash.wav")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["transcribe", "-dash.wav"])
    assert "-dash.wav: looks like an option: write ./-dash.wav" in capsys.readouterr().err
    assert main(["transcribe", "-m", model, "--", "-dash.wav"]) == 0
    assert main(["transcribe", "-m", model, "./-dash.wav"]) == 0


def test_a_directory_says_what_it_passes_over(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recordings(tmp_path, "a.wav", "b.wav")
    (tmp_path / "b.wav").rename(tmp_path / "b")
    (tmp_path / "notes.txt").touch()
    assert main(["transcribe", str(tmp_path), "-m", model]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert said.err == f"ds2: {tmp_path}: skipped 1 file that holds no sound\n"


def write_call(path: Path) -> str:
    random = np.random.default_rng(0)
    soundfile.write(path, 0.1 * random.standard_normal((24_000, 2)), 16_000)
    return str(path)


def test_split_channels_have_a_speaker(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = write_call(tmp_path / "call.wav")
    assert main(["transcribe", call, "-m", model, "--channels", "split"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(": ")[0] for line in lines} == {"Speaker 1", "Speaker 2"}
    alone = []
    for number in ("1", "2"):
        assert main(["transcribe", call, "-m", model, "--channels", number]) == 0
        alone += capsys.readouterr().out.splitlines()
    assert sorted(line.partition(": ")[2] for line in lines) == sorted(alone)
    assert main(["transcribe", call, call + "x", "-m", model, "--channels", "3"]) == 2
    assert "call.wav: has 2 channels: there is no channel 3\n" in capsys.readouterr().err


def test_a_choice_of_channels_that_cannot_be_is_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = write_call(tmp_path / "call.wav")
    for options, told in (
        (
            ["--raw", "s16le", "--channels", "2"],
            "give the number of channels of the samples with --raw-channels",
        ),
        (["--stream", "--channels", "split"], "--stream shows one text: name one channel"),
    ):
        source = "-" if "--raw" in options else call
        assert main(["transcribe", source, "-m", model, *options]) == 2
        assert told in capsys.readouterr().err
    for wrong in ("0", "-1", "left"):
        with pytest.raises(SystemExit):
            main(["transcribe", call, f"--channels={wrong}"])
        assert "must be mix, split or a number from 1 on" in capsys.readouterr().err
