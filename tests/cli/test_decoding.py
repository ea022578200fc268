"""The search options of `ds2 transcribe` and `ds2 evaluate`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aids.grams import FALLBACK, build
from ds2.cli import main
from ds2.ngram.estimate import EstimateConfig

ROOT = Path(__file__).parents[2]
MODEL, SAMPLE = str(ROOT / "models" / "en"), str(ROOT / "samples" / "en-1.ogg")


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = "could you please call me back tomorrow morning before nine\nplease call back\n"
    directory = tmp_path_factory.mktemp("lm")
    build(directory, text, EstimateConfig(2, discount_fallback=FALLBACK), language="en")
    return directory / "lm.bin"


def transcribed(capsys: pytest.CaptureFixture[str], *options: object) -> str:
    assert main(["transcribe", SAMPLE, "-m", MODEL, *map(str, options)]) == 0
    return capsys.readouterr().out.strip()


def refused(capsys: pytest.CaptureFixture[str], *options: object) -> str:
    assert main(["transcribe", SAMPLE, "-m", MODEL, *map(str, options)]) == 2
    return capsys.readouterr().err.strip()


def test_a_closed_vocabulary_gives_only_its_words(
    lm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = transcribed(capsys, "--lm", lm, "--unknown-word-score", "off")
    assert {*text.split()} <= {
        *["could", "you", "please", "call", "me", "back", "tomorrow", "morning", "before", "nine"]
    }
    assert len(text.split()) > 4


def test_a_language_model_changes_what_greedy_decoding_hears(
    lm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transcribed(capsys, "--lm", lm) != transcribed(capsys, "--greedy")


def test_a_hot_phrase_is_heard_with_a_weight_and_not_without(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plain = transcribed(capsys, "--no-lm")
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("# what is likely\n\ncall me back:30\n", encoding="utf-8")
    assert "call me back" not in plain
    assert "call me back" in transcribed(capsys, "--no-lm", "--hot-phrases", phrases)
    assert "call me back" in transcribed(capsys, "--no-lm", "--hot-phrase", "Call me back:30")


def test_alternatives_stand_in_json_with_the_parts_of_their_scores(
    lm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = json.loads(transcribed(capsys, "--lm", lm, "--alternatives", 3, "-f", "json"))
    first, *others = fields["alternatives"]
    assert first["text"] == fields["text"]
    assert len(others) == 2
    parts = ("acoustic", "lm", "count", "hot")
    assert first["score"] == pytest.approx(sum(first[part] for part in parts), abs=1e-3)
    assert first["score"] >= others[0]["score"] >= others[1]["score"]


def test_a_bundle_with_a_language_model_is_searched(
    lm: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = tmp_path / "en"
    shutil.copytree(MODEL, bundle)
    assert main(["bundle", "add-lm", str(bundle), str(lm), "--alpha", "0.9"]) == 0
    expected = transcribed(capsys, "--lm", lm, "--alpha", "0.9")
    capsys.readouterr()
    assert main(["transcribe", SAMPLE, "-m", str(bundle)]) == 0
    assert capsys.readouterr().out.strip() == expected.splitlines()[-1]


def test_evaluate_searches_too(lm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = str(ROOT / "samples" / "manifest-en.jsonl")
    assert main(["evaluate", manifest, "-m", MODEL, "--lm", str(lm), "--beam-width", "20"]) == 0
    assert "WER" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--greedy", "--beta", "1"], "--greedy: does not search: leave out the other options"),
        (["--greedy", "--no-lm"], "--greedy: does not search: leave out the other options"),
        (["--alpha", "-1"], "lm_weight: must be at least 0, not -1.0"),
        (["--beam-threshold", "0"], "beam_threshold: must be above 0, not 0.0"),
        (["--unknown-word-score", "3"], "unknown_word_score: must be at most 0, not 3.0"),
        (["--beta", "nan"], "word_bonus: must be a finite number, not nan"),
        (["--hot-phrase", "a:b"], '--hot-phrase: "a:b": write a number after the colon'),
        (["--hot-phrase", "a:inf"], '--hot-phrase: "a:inf": write a number after the colon'),
        (["--hot-phrase", ":3"], 'hot phrase "": holds no words'),
        (["--hot-phrase", "你好"], 'hot phrase "你好": the model cannot spell 你 好'),
        (["--hot-phrases", "none.txt"], "none.txt: no such file"),
        (["--lm", "none.bin"], "none.bin: no such file"),
    ],
)
def test_bad_options_get_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, *options)
    assert error.startswith(f"ds2: {message}")
    assert "\n" not in error


def test_a_phrase_file_that_is_no_text_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "phrases.txt"
    path.write_bytes(b"caf\xe9:3\n")
    assert refused(capsys, "--hot-phrases", path).endswith("byte 3 is not UTF-8: save it as UTF-8")


def test_a_language_model_of_characters_is_refused_for_english(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = EstimateConfig(1, discount_fallback=FALLBACK)
    build(tmp_path, "abab\nba\n", config, unit="character")
    error = refused(capsys, "--lm", tmp_path / "lm.bin")
    assert error.endswith(
        "is a model of characters, and words are needed: build it with --unit word"
    )


@pytest.mark.slow
def test_greedy_recognition_never_loads_the_compiler(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = (
        "import sys; from ds2.cli import main; "
        f"main(['transcribe', {SAMPLE!r}, '-m', {MODEL!r}, '--greedy']); "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert capfd.readouterr().out


def test_a_search_that_leaves_no_text_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", SAMPLE, "-m", MODEL, "-f", "txt", "--beta=-200"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"ds2: {SAMPLE}: --word-bonus -200.0 left no text: --greedy reads ")
