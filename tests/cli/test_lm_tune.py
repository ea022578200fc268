"""`ds2 lm tune` from the command line: its output, its files and its refusals."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from aids.grams import FALLBACK, GENESIS, POEM, build
from aids.models import write_random_bundle
from ds2.audio import write_wav
from ds2.cli import main
from ds2.model.bundle import FACTS, LM, load_bundle
from ds2.ngram.estimate import EstimateConfig


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model, language models and a development set of noise."""
    directory = tmp_path_factory.mktemp("made")
    write_random_bundle(directory)
    for name, text, options in (
        ("lm", GENESIS, {"language": "en"}),
        ("german", GENESIS, {"language": "zh"}),
        ("poem", POEM, {"unit": "character"}),
    ):
        config = EstimateConfig(2 if name == "lm" else 1, discount_fallback=FALLBACK)
        (directory / name).mkdir()
        build(directory / name, text, config, **options)
    random = np.random.default_rng(0)
    lines = []
    for index, text in enumerate(["And God said", "let there be light", "it was good"]):
        write_wav(directory / f"{index}.wav", 0.1 * random.standard_normal(9000).astype("f4"))
        lines.append(json.dumps({"audio_filepath": f"{index}.wav", "text": text}))
    (directory / "dev.jsonl").write_text("\n".join(lines) + "\n")
    (directory / "empty.jsonl").touch()
    (directory / "mute.jsonl").write_text(json.dumps({"audio_filepath": "0.wav"}) + "\n")
    return directory


@pytest.fixture
def model(made: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(made / "bundle", tmp_path / "bundle"))


def tune(made: Path, model: str, *options: str, dev: str = "dev.jsonl", lm: str = "lm") -> int:
    manifest, source = str(made / dev), str(made / lm / "lm.bin")
    return main(["lm", "tune", manifest, "-m", model, "--lm", source, *options])


@pytest.mark.slow
def test_settings_are_found_shown_and_written(
    made: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, figures = tmp_path / "tune.png", tmp_path / "tune.json"
    options = ("--trials", "4", "--jobs", "2", "--plot", str(picture), "--json", str(figures))
    assert tune(made, model, *options) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "3 utterances, 0.00 h, 10 words, 0.0% of them unknown" in shown.out
    assert "WER greedy" in shown.out
    assert "expected calibration error" in shown.out
    assert shown.out.splitlines()[-2].startswith(f"{model}: language model: 2-grams of words")
    bundle = load_bundle(model)
    assert bundle.lm_path
    assert bundle.lm_path.read_bytes() == (made / "lm" / LM).read_bytes()
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(figures.read_text())
    assert bundle.decoding
    assert found["decoding"]["lm_weight"] == bundle.decoding.lm_weight
    assert [trial["beam_width"] for trial in found["beams"]] == [1, 10, 50, 100, 200, 500]
    assert len(found["trials"]) <= 6 * 4
    assert {trial["prior_weight"] for trial in found["trials"]} > {0.0, 0.2, 0.4, 0.6}
    assert "priors" in shown.out

    before = (Path(model) / FACTS).read_bytes()  # once more, with its own model
    assert main(["lm", "tune", str(made / "dev.jsonl"), "-m", model, "--trials", "1"]) == 0
    assert load_bundle(model).lm == bundle.lm
    (Path(model) / FACTS).write_bytes(before)


def test_the_bundle_can_be_left_as_it_is(made: Path, model: str) -> None:
    before = (Path(model) / FACTS).read_bytes()
    assert tune(made, model, "--no-write", "--trials", "1") == 0
    assert (Path(model) / FACTS).read_bytes() == before
    assert not (Path(model) / LM).exists()


def test_whoever_interrupts_finds_the_bundle_as_it_was(
    made: Path, model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ds2.tuning import widths

    sqrt = widths.math.sqrt

    def interrupt(value: float) -> float:
        monkeypatch.setattr(widths.math, "sqrt", sqrt)  # a second Ctrl-C would end the process
        signal.raise_signal(signal.SIGINT)
        return sqrt(value)

    monkeypatch.setattr(widths.math, "sqrt", interrupt)  # after the trials of beams
    before = (Path(model) / FACTS).read_bytes()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner may change it
    try:
        assert tune(made, model, "--trials", "1") == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    assert capfd.readouterr().err.startswith("ds2: interrupted")
    assert (Path(model) / FACTS).read_bytes() == before
    assert not (Path(model) / LM).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm": "nothing"}, "nothing/lm.bin: no such file\n"),
        (
            {"lm": "poem"},
            "poem/lm.bin: is a model of characters, and words are needed: build it with "
            "--unit word\n",
        ),
        (
            {"lm": "german"},
            "german/lm.bin: is of language zh, and en is needed: build it with --language en\n",
        ),
        ({"dev": "empty.jsonl"}, "empty.jsonl: has no utterances\n"),
        ({"dev": "mute.jsonl"}, "mute.jsonl:1: has no text to compare with\n"),
        ({"dev": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named_before_the_work(
    made: Path,
    model: str,
    changes: dict[str, str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tune(made, model, **changes) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ds2: {made}/{message}")
    assert error.count("\n") == 1


def test_what_cannot_be_written_is_named_before_the_work(
    made: Path, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tune(made, model, "--plot", "plot.doc") == 2
    assert capsys.readouterr().err == "ds2: plot.doc: must end in .png, .svg, .pdf or .jpg\n"
    for option in ("--plot", "--json"):
        assert tune(made, model, option, f"{made}/nowhere/file.png") == 2
        assert capsys.readouterr().err == (
            f"ds2: {made}/nowhere/file.png: cannot be written: name a file in a directory that you "
            "may write to\n"
        )
    assert main(["lm", "tune", str(made / "dev.jsonl"), "-m", model]) == 2
    error = capsys.readouterr().err
    assert error == f"ds2: {model}: holds no language model: name one with --lm\n"
    monkeypatch.setattr(os, "access", lambda *_: False)  # read-only; root can write anyway
    assert tune(made, model) == 2
    error = capsys.readouterr().err
    assert error == f"ds2: {model}: may not be written to: name a changed copy with -o\n"
