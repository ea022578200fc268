"""`ds2 bundle`, and the words of `ds2 info` and `ds2 export` about language models."""

import os
import shutil
from pathlib import Path

import pytest

from aids.grams import FALLBACK, GENESIS, build
from aids.models import TINY, write_random_bundle, write_random_checkpoint
from ds2.cli import main
from ds2.ctc.settings import BeamSettings
from ds2.model.bundle import FACTS, LM, load_bundle
from ds2.model.bundle_lm import change_decoding
from ds2.ngram.estimate import EstimateConfig
from ds2.text.alphabet import Alphabet, mandarin_characters


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_bundle(tmp_path_factory.mktemp("made")).path


@pytest.fixture
def model(made: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("lm")
    build(directory, GENESIS, EstimateConfig(2, discount_fallback=FALLBACK), language="en")
    return str(directory / "lm.bin")


def test_settings_that_are_not_given_stay(
    model: str, lm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "add-lm", model, lm, "--alpha", "0.8", "--beta", "-1.5"]) == 0
    assert load_bundle(model).decoding == BeamSettings(lm_weight=0.8, word_bonus=-1.5)
    options = ["--beam-width", "20", "--unknown-word-score", "off"]
    capsys.readouterr()
    assert main(["bundle", "add-lm", model, lm, *options]) == 0
    assert load_bundle(model).decoding == BeamSettings(
        lm_weight=0.8, word_bonus=-1.5, beam_width=20, unknown_word_score=None
    )
    assert capsys.readouterr().out.splitlines() == [
        f"{model}: language model: 2-grams of words: 62 + 128; 11,256 bytes",
        "decoding: beam 20, alpha 0.8, beta -1.5, unknown words: none allowed; "
        "confidence: not calibrated",
    ]
    assert main(["bundle", "add-lm", model, lm, "--unknown-word-score", "-4"]) == 0
    decoding = load_bundle(model).decoding
    assert decoding
    assert decoding.unknown_word_score == -4


def test_info_shows_the_language_model_and_reads_all_of_it(
    model: str, lm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", model]) == 0
    assert "none" in capsys.readouterr().out
    main(["bundle", "add-lm", model, lm])
    capsys.readouterr()
    assert main(["info", model]) == 0
    shown = capsys.readouterr().out
    assert "2-grams of words: 62 + 128" in shown
    assert "alpha 0.5, beta 1" in shown
    path = Path(model) / LM
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert main(["info", model]) == 2
    assert capsys.readouterr().err == (
        f"ds2: {path}: damaged: it is not what bundle.json tells: add it again with "
        "`ds2 bundle add-lm`, or copy the whole directory again\n"
    )


def test_removing_takes_the_file_too_and_says_so(
    model: str, lm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (Path(model) / FACTS).read_bytes()
    main(["bundle", "add-lm", model, lm])
    capsys.readouterr()
    assert main(["bundle", "remove-lm", model]) == 0
    assert capsys.readouterr().out == f"{model}: language model: none\n"
    assert (Path(model) / FACTS).read_bytes() == before
    assert not (Path(model) / LM).exists()
    assert main(["bundle", "remove-lm", model]) == 2
    assert capsys.readouterr().err == f"ds2: {model}: holds no language model\n"


def test_what_is_wrong_is_said_in_one_line(
    model: str, lm: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, message in (
        ([lm, "--alpha", "-1"], "lm_weight: must be at least 0, not -1.0"),
        ([lm, "--unknown-word-score", "1"], "unknown_word_score: must be at most 0, not 1.0"),
        (["no.bin"], "no.bin: no such file"),
        ([f"{model}/{FACTS}"], f"{model}/{FACTS}: is no ARPA file: it has no line"),
    ):
        assert main(["bundle", "add-lm", model, *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"ds2: {message}")
        assert error.count("\n") == 1
    monkeypatch.setattr(os, "access", lambda *_: False)  # read-only; root can write anyway
    assert main(["bundle", "add-lm", model, lm]) == 2
    assert capsys.readouterr().err == (
        f"ds2: {model}: may not be written to: name a changed copy with -o\n"
    )
    assert load_bundle(model).lm is None


def test_export_says_what_becomes_of_a_language_model(
    model: str, lm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alphabet = load_bundle(model).alphabet
    checkpoint = write_random_checkpoint(tmp_path / "checkpoint.safetensors", TINY, alphabet)
    main(["bundle", "add-lm", model, lm, "--alpha", "0.7"])
    capsys.readouterr()
    assert main(["export", str(checkpoint), "-o", model]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{model}/lm.bin: kept, but its settings fit another network: run `ds2 lm tune`"
    ]
    assert load_bundle(model).decoding == BeamSettings(lm_weight=0.7)
    (Path(model) / LM).write_bytes(b"another")
    assert main(["export", str(checkpoint), "-o", model]) == 0
    assert "lm.bin: kept, but not used" in capsys.readouterr().out
    assert load_bundle(model).lm is None
    assert main(["info", model]) == 0
    assert "lm.bin is not part of the bundle" in capsys.readouterr().out


def test_a_new_bundle_gets_the_language_model_of_the_bundle_that_its_run_began_with(
    model: str, lm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["bundle", "add-lm", model, lm, "--alpha", "0.7"])
    begun = load_bundle(model)
    checkpoint = tmp_path / "checkpoint.safetensors"
    write_random_checkpoint(checkpoint, TINY, begun.alphabet, init_from=Path(model))
    capsys.readouterr()
    new = tmp_path / "new"
    assert main(["export", str(checkpoint), "-o", str(new)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{new}/lm.bin: from the model that the run began with, but its settings fit another "
        "network: run `ds2 lm tune`"
    ]
    exported = load_bundle(new)
    assert (exported.lm, exported.decoding) == (begun.lm, begun.decoding)
    assert exported.lm_path
    assert exported.lm_path.read_bytes() == Path(lm).read_bytes()

    priors = tuple(-0.5 - label for label in range(29))
    change_decoding(Path(model), BeamSettings(prior_weight=0.4, label_priors=priors))
    wider = Alphabet("characters", "en", ("é", *begun.alphabet.symbols))
    write_random_checkpoint(checkpoint, TINY, wider, init_from=Path(model))
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "wider")]) == 0
    decoding = load_bundle(tmp_path / "wider").decoding
    assert decoding == BeamSettings(
        prior_weight=0.4, label_priors=(priors[0], priors[-1], *priors[1:])
    )

    write_random_checkpoint(checkpoint, TINY, begun.alphabet, init_from=Path(model))
    main(["bundle", "remove-lm", str(new)])
    capsys.readouterr()
    assert main(["export", str(checkpoint), "-o", str(new)]) == 0  # a user's choice stays
    assert load_bundle(new).lm is None
    assert "lm.bin" not in capsys.readouterr().out

    chinese = mandarin_characters(["你好"])
    write_random_checkpoint(checkpoint, TINY, chinese, init_from=Path(model))
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "chinese")]) == 0
    assert load_bundle(tmp_path / "chinese").lm is None
    shutil.rmtree(model)
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "without")]) == 0
    assert load_bundle(tmp_path / "without").lm is None
