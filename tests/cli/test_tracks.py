"""`ds2 info FILE` lists the sound tracks of a film, and `--track` chooses one."""

import json
from pathlib import Path

import numpy as np
import pytest

from aids.films import film
from aids.listening import listening
from ds2.audio import read_audio
from ds2.cli import main
from ds2.recognition.recognizer import Recognizer

SAMPLE = Path(__file__).parents[2] / "samples" / "en-1.ogg"


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A film with the sample's speech at 3 s in its first track, and at 6 s in its second."""
    path = tmp_path_factory.mktemp("films") / "two.mkv"
    shifts = [lambda _: 3.0, lambda _: 6.0]
    spoken = read_audio(SAMPLE)
    path.write_bytes(
        film("matroska", shifts, languages=["ger", "eng"], default=1, sound=spoken, rate_hz=16_000)
    )
    return str(path)


def test_info_lists_the_tracks_of_a_film(
    two_tracks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", two_tracks, "--track", "German"]) == 0
    rows = [line.strip("│").split("│") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == 10]
    first, second = cells[-2:]
    assert first[:7] == ["heard", "1", "pcm_s16le", "1", "16000 Hz", "ger", "?"]
    assert first[7:9] == ["no", "0:00:03.00"]
    assert second[0] == ""
    assert second[5:9] == ["eng", "?", "yes", "0:00:06.00"]


@pytest.mark.parametrize(("option", "start_s"), [([], 6), (["--track", "1"], 3)])
def test_words_have_the_times_of_the_track_that_is_heard(
    two_tracks: str, option: list[str], start_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", two_tracks, "-f", "json", *option]) == 0
    told = capsys.readouterr()
    words = json.loads(told.out)["segments"][0]["words"]
    assert start_s < words[0]["start"] < start_s + 1
    assert ("has 2 sound tracks: using 2 (eng)" in told.err) == (not option)


def test_split_channels_have_the_times_of_a_film_whose_sound_begins_late(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read_audio(SAMPLE)
    silence = np.zeros_like(first)
    call = np.stack([np.append(first, silence), np.append(silence, first)], axis=1)
    path = tmp_path / "call.mkv"
    path.write_bytes(film("matroska", [lambda _: 3.0], sound=call, rate_hz=16_000))
    assert main(["transcribe", str(path), "-f", "json", "--channels", "split"]) == 0
    segments = json.loads(capsys.readouterr().out)["segments"]
    assert {segment["speaker"] for segment in segments} == {"Speaker 1", "Speaker 2"}
    for speaker, start_s in (("Speaker 1", 3.0), ("Speaker 2", 3.0 + len(first) / 16_000)):
        spoken = [segment for segment in segments if segment["speaker"] == speaker]
        words = [word for segment in spoken for word in segment["words"]]
        assert start_s < words[0]["start"] < start_s + 1
        assert words[-1]["end"] <= start_s + len(first) / 16_000 + 0.1


def write_calls(path: Path) -> float:
    """A film with two sound tracks, one from 3 s on and one from 6 s on.

    In both, one speaker says the sample on the first channel, then another one on the second.
    Returns the sample's length in seconds.
    """
    spoken = read_audio(SAMPLE)
    silence = np.zeros_like(spoken)
    call = np.stack([np.append(spoken, silence), np.append(silence, spoken)], axis=1)
    shifts = [lambda _: 3.0, lambda _: 6.0]
    languages = ["ger", "eng"]
    path.write_bytes(film("matroska", shifts, languages=languages, sound=call, rate_hz=16_000))
    return len(spoken) / 16_000


def test_a_track_is_heard_with_its_channels_apart_here_and_by_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "calls.mkv"
    spoken_s = write_calls(path)
    options = ["transcribe", str(path), "-f", "json", "--channels", "split", "--track", "eng"]
    told = []
    with listening({"en": Recognizer.load("en")}) as at:
        for where in (["-m", "en"], ["--server", f"http://{at}"]):
            assert main([*options, *where]) == 0
            told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    for channel, begins_s in ((1, 6.0), (2, 6.0 + spoken_s)):
        segments = [each for each in told[0]["segments"] if each["channel"] == channel]
        assert {each["speaker"] for each in segments} == {f"Speaker {channel}"}
        assert begins_s < segments[0]["words"][0]["start"] < begins_s + 1


def test_align_takes_a_track(
    two_tracks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.jsonl"
    fields = {"audio_filepath": two_tracks, "text": "could you please come back"}
    manifest.write_text(json.dumps(fields) + "\n")
    for option, start_s in ((["--track", "de"], 3), (["--track", "2"], 6)):
        assert main(["align", str(manifest), "-m", "en", "-f", "json", *option]) == 0
        words = json.loads(capsys.readouterr().out)["words"]
        assert start_s < words[0]["start"] < start_s + 1


def test_a_track_that_is_not_there_is_named(
    two_tracks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["transcribe", two_tracks], ["info", two_tracks]):
        assert main([*command, "--track", "3"]) == 2
        assert "has no sound track 3: choose one of 1 (ger), 2 (eng)" in capsys.readouterr().err
