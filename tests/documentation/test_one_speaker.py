"""recipes/one-speaker makes manifests of recordings whose names are their texts."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from aids.pages import ROOT
from ds2.manifest import read_manifest

RECIPE: dict[str, Any] = runpy.run_path(str(ROOT / "recipes/one-speaker/make_manifests.py"))
WORDS = ("天气", "高兴", "图书馆", "一会儿", "明天", "老师", "学习", "漂亮", "朋友", "问题")
OTHERS = ("一_就_", "天", "abc")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    directory = tmp_path / "hsk"
    directory.mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    for index, word in enumerate((*WORDS, *OTHERS)):
        path = directory / f"cmn-{word}.mp3"
        soundfile.write(path, noise[: 8_000 + 800 * index], 16_000, format="MP3")
    return directory


def test_each_word_is_in_one_part_and_its_text_is_its_name(
    recordings: Path, tmp_path: Path
) -> None:
    RECIPE["make_manifests"](recordings, tmp_path / "words", num_test=3, num_dev=2)
    parts = {
        name: read_manifest(tmp_path / "words" / f"{name}.jsonl")
        for name in ("test", "dev", "train", "train-5")
    }
    assert [len(part) for part in parts.values()] == [3, 2, 5, 5]
    texts = [each.text for name in ("test", "dev", "train") for each in parts[name]]
    assert sorted(texts, key=str) == sorted(WORDS)
    for utterance in parts["train"]:
        assert utterance.audio_path == recordings / f"cmn-{utterance.text}.mp3"
        assert utterance.duration_s == pytest.approx(
            soundfile.info(utterance.audio_path).duration, abs=1e-3
        )
    before = (tmp_path / "words" / "test.jsonl").read_bytes()
    RECIPE["make_manifests"](recordings, tmp_path / "words", num_test=3, num_dev=2)
    assert (tmp_path / "words" / "test.jsonl").read_bytes() == before


def test_the_first_minutes_are_no_longer_than_asked_for() -> None:
    records = [{"duration": 25.0}, {"duration": 30.0}, {"duration": 10.0}, {"duration": 1.0}]
    assert RECIPE["first_minutes"](records, 1) == records[:2]
    assert RECIPE["first_minutes"](records, 2) == records


def test_too_few_recordings_are_refused_before_anything_is_written(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["make", str(recordings), str(tmp_path / "words")])
    with pytest.raises(SystemExit, match=r"hsk: has 10 recordings cmn-WORD\.mp3: it must have"):
        RECIPE["main"]()
    assert not (tmp_path / "words").exists()
