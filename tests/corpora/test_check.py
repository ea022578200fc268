"""`ds2 check` names every problem of a manifest with its line, and nothing else."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from ds2.audio import write_wav
from ds2.cli.check import add_parser
from ds2.corpora.checks.check import Report, check
from ds2.corpora.checks.corpus import CheckOptions
from ds2.errors import InputError
from ds2.manifest import read_manifest, write_manifest
from ds2.model.bundle import Bundle, ModelFacts, write_bundle
from ds2.model.features import FeatureConfig
from ds2.text.alphabet import Alphabet, english_bigrams

DATA = Path(__file__).parents[3] / "shared" / "data"
OPTIONS = CheckOptions(num_threads=2)
NUM_CLEAN = 3


def noise(seed: object, duration_s: float = 1.0, rate_hz: int = 16_000) -> NDArray[np.float32]:
    """White noise, (N,) float32: as loud as speech, and it reaches up to half the rate."""
    random = np.random.default_rng(list(str(seed).encode()))
    return random.uniform(-0.3, 0.3, round(duration_s * rate_hz)).astype(np.float32)


def manifest(directory: Path, *changes: dict[str, Any], name: str = "m") -> Path:
    """Three clean utterances and, after them, one for each dictionary of other fields."""
    path = directory / f"{name}.jsonl"
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(NUM_CLEAN + len(changes)):
        clip = f"{name}{index}.wav"
        write_wav(directory / clip, noise(clip))
        fields = {"audio_filepath": clip, "duration": 1.0, "text": f"text {'abc'[index % 3]}"}
        fields["speaker"] = f"speaker {name}{index}"
        lines.append(fields | (changes[index - NUM_CLEAN] if index >= NUM_CLEAN else {}))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def report_of(path: Path, *others: Path, **options: Any) -> Report:
    return check(path, others, replace(OPTIONS, **options))


def found(report: Report) -> list[tuple[str, str]]:
    """The kind and the line of each problem."""
    return [(problem.kind, problem.where.rpartition(":")[2]) for problem in report.problems]


def only_problem(path: Path, *others: Path, **options: Any) -> tuple[str, str]:
    """Kind and message of the only problem of the utterance after the clean ones."""
    (problem,) = report_of(path, *others, **options).problems
    assert problem.where == f"{path}:{NUM_CLEAN + 1}"
    return problem.kind, problem.message


def test_nothing_is_wrong_with_a_clean_manifest(tmp_path: Path) -> None:
    report = report_of(manifest(tmp_path))
    assert report.problems == []
    assert report.num_errors == 0


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"audio_filepath": "/no.wav"}, "missing", "there is no recording /no.wav"),
        (
            {"duration": 2.0},
            "truncated",
            "the manifest has 2 s, the recording 1.00 s",
        ),
        ({"duration": 0.6}, "duration", "the recording goes on for 0.40 s"),
        ({"text": None}, "no text", "has no text"),
        ({"text": "..."}, "no text", '"..." has no words'),
        ({"text": "[hm] ça ♥"}, "style", '"[hm] ça ♥" is read as: [hm] ca ♥'),
        (
            {"text": "mississippi " * 9},
            "too short",
            "1.00 s give 50 output frames, its text needs 134",
        ),
    ],
)
def test_a_fault_is_named(tmp_path: Path, change: dict[str, Any], kind: str, message: str) -> None:
    report = report_of(manifest(tmp_path, change))
    first = next(problem for problem in report.problems if problem.kind == kind)
    assert (first.where, first.message) == (f"{tmp_path}/m.jsonl:4", message)


def test_characters_outside_the_alphabet_are_named(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"text": "hm ♥ 你", "language": "en"})
    assert only_problem(path) == ("unspellable", "the alphabet lacks ♥ 你 (in: hm ♥ 你)")


def test_raw_texts_must_be_spelt_as_they_are_if_nothing_normalises_them(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"text": "I'm 5"})
    assert only_problem(path) == ("style", "\"I'm 5\" is read as: i'm five")
    kind, message = only_problem(path, normalise=False)
    assert (kind, message) == ("unspellable", "the alphabet lacks 5 I (in: I'm 5)")


def test_bigrams_need_fewer_frames(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"text": "abcdefghij klmnopqrst uvwxyz abcdefghij klmnopqrst uvw"})
    assert only_problem(path)[0] == "too short"
    assert report_of(path, alphabet=english_bigrams()).problems == []
    assert report_of(path, time_stride=1).problems == []


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is not sound")
    kind, message = only_problem(manifest(tmp_path, {"audio_filepath": "text.wav"}))
    assert kind == "unreadable"
    assert "text.wav" in message


def test_a_recording_cut_off_in_copying_is_named(tmp_path: Path) -> None:
    write_wav(tmp_path / "whole.wav", noise("whole"))
    data = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    kind, message = only_problem(manifest(tmp_path, {"audio_filepath": "cut.wav"}))
    assert kind == "truncated"
    assert "0.50 s of 1.00 s" in message


def test_silence_is_named(tmp_path: Path) -> None:
    write_wav(tmp_path / "zero.wav", np.zeros(16_000, np.float32))
    path = manifest(tmp_path, {"audio_filepath": "zero.wav"})
    assert only_problem(path) == ("silent", "1.00 s of silence")


def test_clipping_is_noted(tmp_path: Path) -> None:
    write_wav(tmp_path / "loud.wav", np.clip(4 * noise("loud"), -1, 1))
    kind, message = only_problem(manifest(tmp_path, {"audio_filepath": "loud.wav"}))
    assert kind == "clipped"
    assert message.endswith("% of the samples are at full scale")


def test_other_rates_and_narrow_bands_are_noted(tmp_path: Path) -> None:
    write_wav(tmp_path / "phone.wav", noise("phone", rate_hz=8000), 8000)
    report = report_of(manifest(tmp_path, {"audio_filepath": "phone.wav"}))
    assert found(report) == [("sample rate", "4"), ("bandwidth", "4")]
    messages = [problem.message for problem in report.problems]
    assert messages == ["8000 Hz, which ds2 converts", "nothing above 4 kHz"]
    assert report.statistics[0].sample_rates_hz == {16_000: 3, 8000: 1}


def test_the_same_audio_is_found_in_any_lossless_format(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"audio_filepath": "copy.flac", "text": "other"})
    samples, rate_hz = soundfile.read(tmp_path / "m1.wav", dtype="int16")
    soundfile.write(tmp_path / "copy.flac", samples, rate_hz)
    message = f'the same audio as {path}:2, which has the text "text b"'
    assert only_problem(path) == ("duplicate", message)


def test_the_same_stretch_is_found_without_listening(tmp_path: Path) -> None:
    again = {"audio_filepath": "m1.wav", "text": "text b"}
    path = manifest(tmp_path, again)
    assert only_problem(path, listens=False) == ("duplicate", f"the same audio as {path}:2")
    other_part = {**again, "offset": 0.5, "duration": 0.5}
    assert found(report_of(manifest(tmp_path, other_part))) == []


def test_a_speaker_who_says_the_same_again_is_noted(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"speaker": "speaker m1", "text": "text b"})
    message = f"the speaker says the same in {path}:2: text b"
    assert only_problem(path) == ("repeated", message)


def test_a_text_of_unlikely_length_is_noted(tmp_path: Path) -> None:
    texts = [{"text": f"about as long as this {'abcdefghijklmnopqrst'[i]}"} for i in range(20)]
    report = report_of(manifest(tmp_path, *texts, {"text": "no"}))
    (problem,) = report.problems
    assert (problem.kind, problem.where) == ("pace", f"{tmp_path}/m.jsonl:{NUM_CLEAN + 21}")


def test_lines_that_cannot_be_read_do_not_stop_the_check(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"duration": -1}, {"text": ""})
    report = report_of(path)
    assert found(report) == [("manifest", "4"), ("no text", "5")]
    assert report.problems[0].message == "duration: -1: it must be 0 or more, in seconds"
    with pytest.raises(InputError, match="no such file"):
        report_of(tmp_path / "none.jsonl")


def test_audio_and_speakers_of_the_training_set_are_errors(tmp_path: Path) -> None:
    train = manifest(tmp_path, name="train")
    leaked = {"audio_filepath": "train1.wav", "text": "quite another"}
    known = {"speaker": "speaker train2", "text": "text c"}
    test = manifest(tmp_path, leaked, known, known, {"speaker": "unknown", "text": "x"})
    report = report_of(test, train)
    leaks = [problem for problem in report.problems if problem.kind == "leak"]
    assert [problem.where for problem in leaks] == [f"{test}:4", f"{test}:5"]
    assert leaks[0].message == f"the same audio as {train}:2"
    assert leaks[1].message == f"speaker speaker train2 also speaks in {train}:3"
    overlap = report.overlaps[0]
    assert (overlap.num_same_audio, overlap.num_same_speaker) == (1, 2)
    assert overlap.num_same_text == 5
    (note,) = (problem for problem in report.problems if problem.kind == "shared text")
    share = "5 of 7 (71.4%) utterances have a text that is also in"
    assert (note.where, note.message) == (str(test), f"{share} {train}")


def test_characters_never_trained_on_are_noted(tmp_path: Path) -> None:
    train = manifest(tmp_path, {"text": "今天天气好"}, name="train")
    test = manifest(tmp_path, {"text": "明天"})
    (note,) = (p for p in report_of(test, train).problems if p.kind == "unseen")
    assert note.message == "1 characters, 50.00% of the text, are in no other: 明"


def test_corpora_that_do_not_sound_alike_are_noted(tmp_path: Path) -> None:
    train = manifest(tmp_path, name="train")
    for index in range(NUM_CLEAN):
        samples = noise(index, rate_hz=8000)
        write_wav(tmp_path / f"train{index}.wav", samples, 8000)
    (note,) = (p for p in report_of(manifest(tmp_path), train).problems if p.kind == "bandwidth")
    message = f"half reach 8 kHz, but 4 kHz in {train}: they do not sound alike"
    assert note.message == message


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"text": "..."}, {"audio_filepath": "m1.wav"}, {"duration": 3})
    assert report_of(path, num_threads=1) == report_of(path, num_threads=4)


def test_statistics_at_a_glance(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"text": "你好 ok", "speaker": None})
    (statistics,) = report_of(path).statistics
    assert statistics.num_utterances == 4
    assert statistics.hours == pytest.approx(4 / 3600)
    assert (statistics.num_speakers, statistics.num_without_speaker) == (3, 1)
    assert statistics.num_words == 3 * 2 + 3
    assert next(iter(statistics.characters.items())) == ("t", 6)
    assert statistics.median_bandwidth_hz == 8000


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not here")
@pytest.mark.parametrize("pack", ["en-dev", "zh-dev"])
def test_real_recordings_are_sound(tmp_path: Path, pack: str) -> None:
    write_manifest(tmp_path / "m.jsonl", read_manifest(DATA / pack / "manifest.jsonl")[:40])
    report = report_of(tmp_path / "m.jsonl")
    assert report.num_errors == 0
    assert report.statistics[0].num_utterances == 40


# The command


def ds2_check(*arguments: str | Path) -> int:
    """The exit status of `ds2 check`."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["check", "--jobs", "2", *map(str, arguments)])
    status: int = args.run(args)
    return status


def test_notes_alone_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ds2_check(manifest(tmp_path, {"text": "Hi!"})) == 0
    output = capsys.readouterr()
    assert f'  {tmp_path}/m.jsonl:4: "Hi!" is read as: hi\n' in output.out
    assert "errors: 0, notes: 1" in output.out
    assert output.err == ""


def test_errors_are_a_failure_and_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, {"text": "Hi!"}, *[{"text": text} for text in "♥♥♥☂☂☃"])
    assert ds2_check(path, "--limit", "2") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "error: texts with characters outside the alphabet: 6"
    assert lines[1] == f"  {path}:5 and 2 more: the alphabet lacks ♥ (in: ♥)"
    assert lines[2] == f"  {path}:8 and 1 more: the alphabet lacks ☂ (in: ☂)"
    assert lines[3] == "  ... and 1 more"
    assert "--limit 0 shows every problem" in lines
    assert ds2_check(path, "--limit", "0") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[6] == f"  {path}:10: the alphabet lacks ☃ (in: ☃)"
    assert "--limit 0 shows every problem" not in lines


def test_texts_cannot_break_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ds2_check(manifest(tmp_path, {"text": "a\n[/b] \x1b[31m"})) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith(r"the alphabet lacks U+001B [ ] (in: a [ b] \x1b[ thirty one m)")


def test_json_holds_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, train = manifest(tmp_path, {"text": "♥"}), manifest(tmp_path, name="train")
    assert ds2_check(path, "--against", train, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["num_errors"] == 1
    assert report["problems"][0] == {
        "severity": "error",
        "kind": "unspellable",
        "where": f"{path}:4",
        "message": "the alphabet lacks ♥ (in: ♥)",
    }
    assert [each["manifest"] for each in report["statistics"]] == [str(path), str(train)]
    assert report["overlaps"][0]["num_same_text"] == 3


def test_recordings_are_not_touched_if_so_asked(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    (tmp_path / "m0.wav").unlink()
    assert ds2_check(path) == 1
    assert ds2_check(path, "--no-audio") == 0


def test_an_alphabet_is_read_from_a_file(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    alphabet = {"kind": "characters", "language": "en", "symbols": list("texabc ")}
    (tmp_path / "alphabet.json").write_text(json.dumps(alphabet))
    assert ds2_check(path, "--alphabet", tmp_path / "alphabet.json") == 0
    (tmp_path / "bundle.json").write_text(json.dumps({"alphabet": {**alphabet, "symbols": ["t"]}}))
    assert ds2_check(path, "--alphabet", tmp_path / "bundle.json") == 1
    assert ds2_check(path, "--alphabet", "bigrams") == 0


def test_a_model_tells_alphabet_and_time_stride(tmp_path: Path) -> None:
    facts = ModelFacts(True, 20, 0, 0, num_parameters=1, weights="float32")
    alphabet = Alphabet("characters", "en", tuple("texabc "))
    write_bundle(Bundle(tmp_path / "model", alphabet, FeatureConfig(), facts), b"graph")
    path = manifest(tmp_path)
    assert ds2_check(path, "--model", tmp_path / "model") == 1  # 5 output frames for 6 labels
    assert ds2_check(path, "--model", tmp_path / "model", "--time-stride", "16") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "-1"], "--limit: -1: it must be at least 0"),
        (["--time-stride", "0"], "--time-stride: 0: it must be at least 1"),
        (["--alphabet", "/no.json"], "--alphabet /no.json: no such file"),
        (["--alphabet", __file__], f"--alphabet {__file__}: is not a JSON file"),
        (["--alphabet", "bigrams", "--language", "zh"], "--language zh: the alphabet is for en"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        ds2_check(manifest(tmp_path), *arguments)
    assert str(error.value).startswith(message)
