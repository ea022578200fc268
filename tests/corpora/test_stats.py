"""Figures of a corpus, checked on artificial mixtures and manifests."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.audio import Waveform, write_wav
from ds2.cli import main
from ds2.corpora.checks.loudness import Loudness
from ds2.corpora.statistics.picture import DARK_INK
from ds2.corpora.statistics.stats import Spread
from ds2.manifest import Utterance, write_manifest

TOLERANCE_DB = 1.0
"""Error of the estimated signal-to-noise ratio, for steady noise and a quarter of pauses."""


def made_up_speech(seed: int, duration_s: float = 6.0) -> Waveform:
    """Syllables of a few hertz with pauses of a second, about a quarter of the time."""
    generator = np.random.default_rng(seed)
    times_s = np.arange(round(16000 * duration_s)) / 16000
    tone = sum(np.sin(2 * np.pi * k * 140 * times_s) / k for k in range(1, 12))
    loudness = 0.15 + np.abs(np.sin(2 * np.pi * 2.1 * times_s + generator.uniform(0, 3)))
    speaks = (times_s + generator.uniform(0, 4)) % 4 > 1
    return (0.1 * tone * loudness * speaks).astype(np.float32)


def ratio_of(waveform: Waveform) -> float | None:
    loudness = Loudness()
    loudness.feed(waveform)
    return loudness.snr_db


@pytest.mark.parametrize("snr_db", [0, 5, 10, 20, 30, 40])
@pytest.mark.parametrize("seed", range(3))
def test_the_noise_of_a_mixture_is_estimated_to_a_decibel(snr_db: float, seed: int) -> None:
    speech = made_up_speech(seed)
    noise = np.random.default_rng(seed).standard_normal(len(speech))
    noise *= np.sqrt(np.mean(speech**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    mixture = (speech + noise).astype(np.float32)
    assert ratio_of(mixture) == pytest.approx(snr_db, abs=TOLERANCE_DB)
    # Gain and digital silence around it do not change that.
    padded = np.concatenate([np.zeros(32000, np.float32), 0.1 * mixture, np.zeros(320, np.float32)])
    assert ratio_of(padded) == pytest.approx(snr_db, abs=TOLERANCE_DB)


def test_what_is_all_noise_or_all_clean_stays_between_the_ends() -> None:
    noise = np.random.default_rng(0).standard_normal(96000).astype(np.float32) * 0.1
    assert (ratio_of(noise) or 0) < -5
    clean = made_up_speech(0)
    assert ratio_of(clean + 1e-5 * noise) == 60
    assert ratio_of(clean[:1600]) is None
    assert ratio_of(np.zeros(48000, np.float32)) is None


def test_a_level_is_that_of_the_mean_power() -> None:
    loudness = Loudness()
    loudness.feed(np.full(1000, 0.5, np.float32))
    loudness.feed(np.full(777, -0.5, np.float32))
    assert loudness.level_db == pytest.approx(20 * np.log10(0.5))
    assert Loudness().level_db is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
@settings(deadline=None)
def test_a_spread_rises(values: list[float]) -> None:
    spread = Spread.of([*values, None])
    assert spread is not None
    shown = [spread.least, spread.p5, spread.median, spread.p95, spread.most]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (min(values), max(values))


def corpus(directory: Path) -> Path:
    """Ann and Bob on the radio, Bob with a bad microphone; Wang on the phone; one nameless."""
    rows = [
        ("ann", "en", "radio", "one two three four", 1.0),
        ("ann", "en", "radio", "five <six>", 1.0),
        ("bob", "en", "radio", "one two three four", 40.0),
        ("王", "zh", "phone", "今天天气好", 0.1),
        (None, "en", None, "", 1.0),
    ]
    utterances = []
    for number, (speaker, language, source, text, gain) in enumerate(rows):
        path = directory / f"{number}.wav"
        write_wav(path, np.clip(gain * made_up_speech(number, 5), -1, 1))
        extra = {"source": source} if source else {}
        utterances.append(Utterance(path, 5.0, text, 0.0, speaker, language, extra))
    write_manifest(directory / "all.jsonl", utterances)
    return directory / "all.jsonl"


def told(manifest: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:  # type: ignore[type-arg]
    assert main(["corpus", "stats", str(manifest), "--json", *arguments]) == 0
    found: dict = json.loads(capsys.readouterr().out)  # type: ignore[type-arg]
    return found


def test_figures_are_those_of_the_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(corpus(tmp_path), capsys, "--by", "source")
    assert found["num_clips"] == 5
    assert found["hours"] == pytest.approx(25 / 3600)
    assert found["duration_s"]["median"] == 5
    assert found["speakers"] | {"minutes": 0, "largest": 0} == {
        "num": 3,
        "num_without": 1,
        "minutes": 0,
        "largest": 0,
    }
    assert found["texts"]["num_words"] == 4 + 2 + 4 + 5
    assert found["texts"]["num_without"] == 1
    assert found["texts"]["num_distinct"] == 3
    assert found["sounds"]["num_heard"] == 5
    assert found["sounds"]["num_clipped"] == 1
    assert found["sounds"]["level_db"]["most"] > -10
    groups = {group["name"]: group for group in found["groups"]}
    assert {name: group["num_clips"] for name, group in groups.items()} == {
        "radio": 3,
        "phone": 1,
        "(none)": 1,
    }
    texts = groups["radio"]["texts"]
    assert texts["characters_per_s"]["most"] == pytest.approx(18 / 5)
    assert texts["alphabet_size"] == 28
    assert texts["num_labels_seen"] == len(set("one two three four five six"))
    assert groups["phone"]["texts"]["alphabet_size"] is None


def test_characters_outside_the_alphabet_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(tmp_path / "a.jsonl", [Utterance(tmp_path / "no.wav", 2.0, "b[a] д")])
    texts = told(tmp_path / "a.jsonl", capsys, "--sound", "0")["texts"]
    assert texts["outside"] == {"[": 1, "]": 1, "д": 1}


def test_a_sample_is_listened_to_the_same_in_any_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = corpus(tmp_path)
    found = told(manifest, capsys, "--sound", "2")["sounds"]
    assert found["num_heard"] == 2
    lines = manifest.read_text(encoding="utf-8").splitlines()
    manifest.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    assert told(manifest, capsys, "--sound", "2")["sounds"] == found


@pytest.mark.slow
def test_the_page_has_pictures_for_light_and_dark_and_the_same_bytes_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = corpus(tmp_path)
    pages = []
    for name in ("one.html", "two.html"):
        arguments = ["-o", str(tmp_path / name), "--by", "source"]
        assert main(["corpus", "stats", str(manifest), *arguments]) == 0
        pages.append((tmp_path / name).read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    assert pages[0].count("data:image/svg+xml") == 2
    assert "prefers-color-scheme: dark" in pages[0]
    dark, light = (base64.b64decode(each) for each in re.findall("base64,([^']+)", pages[0]))
    assert DARK_INK.encode() in dark
    assert dark != light
    assert "5 of 5 clips" in pages[0]
    assert "<script" not in pages[0]
    shown = capsys.readouterr().out
    assert "radio" in shown
    assert "wrote" in shown


@pytest.mark.slow
def test_a_picture_can_be_had_alone(tmp_path: Path) -> None:
    manifest = corpus(tmp_path)
    arguments = ["-o", str(tmp_path / "a.png"), "--by", "speaker"]
    assert main(["corpus", "stats", str(manifest), *arguments]) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_recordings_that_cannot_be_read_are_named_and_the_rest_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = corpus(tmp_path)
    (tmp_path / "0.wav").write_bytes(b"RIFF")
    (tmp_path / "1.wav").unlink()
    assert main(["corpus", "stats", str(manifest)]) == 2
    captured = capsys.readouterr()
    assert "3 of 5 clips" in captured.out
    assert "all.jsonl:2: there is no recording" in captured.err
    assert "all.jsonl:1: " in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--by", "mood"],
            "--by mood: no utterance has this field: use one of speaker, language, manifest, ",
        ),
        (["--sound", "some"], "--sound some: it must be a number of clips, 0 for none, or all"),
        (["-o", "a.doc"], "a.doc: must end in .png, .svg, .pdf, .jpg or .html"),
        (
            ["-o", "/no/a.html"],
            "/no/a.html: cannot be written: name a file in a directory that you may write to",
        ),
        (["-m", "en", "--language", "zh"], "--language zh: the model is for en"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    manifest = corpus(tmp_path)
    assert main(["corpus", "stats", str(manifest), *arguments]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith(f"ds2: {message}")
    assert captured.count("\n") == 1
