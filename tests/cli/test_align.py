"""`ds2 align` for a user: CTM, JSON, TextGrid, scores, and utterances that it cannot align."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from aids.models import TINY_BIDIRECTIONAL, write_random_bundle
from ds2.audio import SAMPLE_RATE_HZ, read_audio, write_wav
from ds2.cli import main
from ds2.manifest import read_manifest
from ds2.recognition.aligner import Aligner
from ds2.transcripts.textgrid import to_textgrid
from ds2.transcripts.transcript import Word

ROOT = Path(__file__).parents[2]
SAMPLES = str(ROOT / "samples" / "manifest-en.jsonl")
MODEL = str(ROOT / "models" / "en")
TEXTS = [
    "could you please call me back tomorrow morning before nine",
    "the next train to the city leaves from platform four",
]
SPEECH = ROOT.parent / "shared" / "data" / "en-dev" / "manifest.jsonl"


def write_lines(path: Path, *lines: dict[str, object]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def sample(name: str = "en-1", **fields: object) -> dict[str, object]:
    return {"audio_filepath": str(ROOT / "samples" / f"{name}.ogg"), **fields}


def heard_s(path: Path) -> tuple[float, float]:
    """The times of the first and the last sound of a clip without noise."""
    loudness = np.abs(read_audio(path))
    loud = np.flatnonzero(loudness > 0.05 * loudness.max())
    return loud[0] / SAMPLE_RATE_HZ, loud[-1] / SAMPLE_RATE_HZ


def test_ctm_of_all_utterances_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["align", SAMPLES, "-m", MODEL]) == 0
    output = capsys.readouterr()
    rows = [line.split() for line in output.out.splitlines()]
    assert output.err == ""
    for name, text in zip(("en-1", "en-2"), TEXTS, strict=True):
        own = [row for row in rows if row[0] == name]
        assert " ".join(row[4] for row in own) == text
        starts = [float(row[2]) for row in own]
        ends = [float(row[2]) + float(row[3]) for row in own]
        assert all(end <= start + 1e-9 for end, start in zip(ends, starts[1:], strict=False))
        speech_s = heard_s(ROOT / "samples" / f"{name}.ogg")
        assert (starts[0], ends[-1]) == pytest.approx(speech_s, abs=0.2)
    assert {(len(row), row[1]) for row in rows} == {(6, "1")}


def test_characters_take_the_place_of_words_in_the_ctm(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["align", SAMPLES, "-m", MODEL, "--characters"]) == 0
    characters = [line.split()[4] for line in capsys.readouterr().out.splitlines()]
    assert "".join(characters) == "".join(TEXTS).replace(" ", "")


def test_json_is_a_line_for_each_with_scores_by_which_a_wrong_text_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_lines(
        tmp_path / "m.jsonl", sample(text=TEXTS[0]), sample(text=TEXTS[1]), sample("en-2", text="x")
    )
    assert main(["align", manifest, "-m", MODEL, "-f", "json", "--characters"]) == 0
    right, wrong, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert [right["id"], wrong["id"]] == ["en-1", "en-1-2"]
    assert right["text"] == TEXTS[0]
    assert right["duration"] == pytest.approx(3.6, abs=1e-3)
    assert [word["word"] for word in right["words"]] == TEXTS[0].split()
    assert "".join(c["character"] for c in right["characters"]) == TEXTS[0].replace(" ", "")
    assert right["log_prob"] == pytest.approx(right["log_prob_per_frame"] * 120, abs=0.02)
    assert right["log_prob"] == pytest.approx(right["log_prob_per_label"] * 58, abs=0.02)
    assert right["log_prob_per_label"] > 2 * wrong["log_prob_per_label"]


def test_every_form_is_written_for_every_utterance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = ["align", SAMPLES, "-m", MODEL, "-f", "all", "-o", str(output), "--characters"]
    assert main([*arguments, "--jobs", "2"]) == 0
    assert capsys.readouterr().out == f"wrote 8 files into {output}\n"
    extensions = ("TextGrid", "characters.ctm", "ctm", "json")
    assert sorted(path.name for path in output.iterdir()) == [
        f"{name}.{extension}" for name in ("en-1", "en-2") for extension in extensions
    ]
    assert len((output / "en-1.ctm").read_text().splitlines()) == 10
    aligned = json.loads((output / "en-1.json").read_text())
    grid = (output / "en-1.TextGrid").read_text()
    assert re.findall(r'name = "(\w+)"', grid) == ["words", "characters"]
    assert re.findall(r'text = "(\w+)"', grid)[:10] == [w["word"] for w in aligned["words"]]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ctm", "json"])
def test_cores_change_nothing(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for jobs in ("1", "2", "5"):
        assert main(["align", SAMPLES, SAMPLES, "-m", MODEL, "-f", form, "--jobs", jobs]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] == outputs[2]


def test_what_cannot_be_aligned_is_named_at_the_end_and_the_others_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_lines(
        tmp_path / "m.jsonl",
        sample(),
        sample(text=" "),
        sample(text="!"),
        sample(text="早"),
        sample(text="all this in a tenth", duration=0.1),
        {"audio_filepath": "none.wav", "text": "hello"},
        {"text": "hello"},
        sample(text="hello", offset=100),
        sample("en-2", text=TEXTS[1]),
    )
    assert main(["align", manifest, "-m", MODEL]) == 2
    output = capsys.readouterr()
    assert " ".join(line.split()[4] for line in output.out.splitlines()) == TEXTS[1]
    no_text = "has no text to align: add it, or leave the utterance out"
    no_words = "the text has no words: correct it, or leave the utterance out"
    messages = output.err.splitlines()
    assert messages[:6] == [
        f"ds2: {manifest}:7: audio_filepath is missing (there is text)",
        f"ds2: {manifest}:1: {no_text}",
        f"ds2: {manifest}:2: {no_text}",
        f"ds2: {manifest}:3: {no_words}",
        f"ds2: {manifest}:4: the alphabet cannot spell 早: -m zh is the model for Mandarin",
        f"ds2: {manifest}:5: the text is too long for the audio: its 19 labels need 20 frames, "
        "and there are 3: is it the text of this recording?",
    ]
    assert messages[6].startswith(f"ds2: {manifest}:6: {tmp_path / 'none.wav'}: ")
    assert messages[7].startswith(f"ds2: {manifest}:8: ")
    assert messages[8:] == ["ds2: 8 of 9 utterances failed"]


def test_raw_text_is_taken_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_lines(
        tmp_path / "m.jsonl", sample(text="Call me at 9!"), sample(text="  call \t me ")
    )
    assert main(["align", manifest, "-m", MODEL, "--raw-text"]) == 2
    output = capsys.readouterr()
    assert output.err == (
        f"ds2: {manifest}:1: the alphabet cannot spell ! 9 C: leave out --raw-text\n"
        "ds2: 1 of 2 utterances failed\n"
    )
    assert [line.split()[4] for line in output.out.splitlines()] == ["call", "me"]
    assert main(["align", manifest, "-m", MODEL]) == 0
    words = [line.split()[4] for line in capsys.readouterr().out.splitlines()]
    assert words == ["call", "me", "at", "nine", "call", "me"]


def test_ids_become_file_names_and_none_is_used_twice(tmp_path: Path) -> None:
    ids = ["../a/b", "..", "x" * 400, "é", "É", None, None]
    lines = [sample(text="call me", offset=0.1, **({"id": name} if name else {})) for name in ids]
    output = tmp_path / "out"
    manifest = write_lines(tmp_path / "m.jsonl", *lines)
    assert main(["align", manifest, "-m", MODEL, "-o", str(output)]) == 0
    names = {path.name for path in output.iterdir()}
    assert names == {
        *("_a_b.ctm", "_.ctm", "x" * 150 + ".ctm", "é.ctm", "É-2.ctm"),
        *("en-1+0.1.ctm", "en-1+0.1-2.ctm"),
    }
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["out"]


def test_output_that_makes_no_sense_is_refused_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["align", SAMPLES, "-m", MODEL, "-f", "textgrid"]) == 2
    assert capsys.readouterr().err == (
        "ds2: -f textgrid: writes a file for each of the 2 utterances: name a directory with -o "
        "DIR\n"
    )
    assert main(["align", SAMPLES, "-m", MODEL, "-f", "all"]) == 2
    assert capsys.readouterr().err == (
        "ds2: -f all: writes several files: name a directory with -o DIR\n"
    )
    place = tmp_path / "file"
    place.touch()
    assert main(["align", SAMPLES, "-m", MODEL, "-o", str(place)]) == 2
    assert capsys.readouterr().err.startswith(f"ds2: -o {place}: cannot be a directory: ")
    manifest = write_lines(tmp_path / "m.jsonl", sample(text="call me"))
    assert main(["align", manifest, "-m", MODEL, "-f", "textgrid"]) == 0
    assert capsys.readouterr().out.startswith('File type = "ooTextFile"\n')


@pytest.mark.parametrize("kind", ["whole utterances", "Mandarin"])
def test_other_models_align_too(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    write_wav(tmp_path / "a.wav", (0.1 * random.standard_normal(40_000)).astype(np.float32))
    if kind == "Mandarin":
        model, text, words = write_random_bundle(tmp_path, language="zh"), "你好", ["你", "好"]
    else:
        model, text = write_random_bundle(tmp_path, TINY_BIDIRECTIONAL), "good day"
        words = ["good", "day"]
    aligned = Aligner(model).align(tmp_path / "a.wav", text)
    assert [word.text for word in aligned.transcript.words] == words
    assert aligned.transcript.text == text
    assert aligned.characters[-1].end_s <= aligned.transcript.duration_s == 2.5


def test_a_textgrid_has_intervals_without_gaps_and_quotes_doubled() -> None:
    words = [Word('say "oh"', 0.0, 0.5, 1.0), Word("b", 0.5, 0.75, 1.0), Word("c", 1.0, 2.001, 1.0)]
    grid = to_textgrid({"words": words, "none": []}, 2.0006)
    ends = [line.split(" = ")[1] for line in grid.splitlines() if "  xmax" in line]
    starts = [line.split(" = ")[1] for line in grid.splitlines() if "  xmin" in line]
    assert starts == ["0", "0.000", "0.500", "0.750", "1.000", "0", "0.000"]
    assert ends == ["2.001", "0.500", "0.750", "1.000", "2.001", "2.001", "2.001"]
    assert re.findall(r"text = (.*)", grid) == ['"say ""oh"""', '"b"', '""', '"c"', '""']
    assert grid.count("intervals: size = 4") == grid.count("intervals: size = 1") == 1


@pytest.mark.skipif(not SPEECH.is_file(), reason="needs recordings")
def test_words_of_joined_recordings_fall_into_their_own(tmp_path: Path) -> None:
    spoken = read_manifest(SPEECH)[::30]
    waveforms = [read_audio(utterance.audio_path) for utterance in spoken]
    write_wav(tmp_path / "all.wav", np.concatenate(waveforms))
    texts = [utterance.text or "" for utterance in spoken]
    aligned = Aligner.load(MODEL).align(tmp_path / "all.wav", " ".join(texts))
    words = iter(aligned.transcript.words)
    num_outside, start_s = 0, 0.0
    for waveform, text in zip(waveforms, texts, strict=True):
        end_s = start_s + len(waveform) / 16_000
        for _ in text.split():
            word = next(words)
            num_outside += not start_s - 0.1 <= (word.start_s + word.end_s) / 2 <= end_s + 0.1
        start_s = end_s
    assert num_outside <= 0.03 * len(aligned.transcript.words)
