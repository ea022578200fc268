"""Languages in a corpus: the alphabet of its texts, and messages for texts that do not fit."""

import json
from pathlib import Path

import pytest

from ds2.cli import main
from ds2.text.alphabet import Alphabet


def manifest(directory: Path, *texts: str, language: str | None = None) -> str:
    """A manifest of texts whose recordings nobody reads."""
    path = directory / "m.jsonl"
    lines = [
        {"audio_filepath": f"{i}.wav", "duration": 9.0, "text": text}
        | ({"language": language} if language else {})
        for i, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def test_an_alphabet_is_made_of_letters_and_names_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, *["Über Äpfel"] * 6, "Ça kostet 5 €", "Öl, 5 Liter", language="de-AT")
    output = tmp_path / "alphabet.json"
    assert main(["corpus", "alphabet", path, "-o", str(output)]) == 0
    told = capsys.readouterr().out
    assert "language de, 17 symbols: " in told
    assert "under 5 times: " in told
    assert "ç (1)" in told
    assert f"not in it: 5, 2 times, the first in {path}:7\n" in told
    assert f"not in it: €, once, the first in {path}:7\n" in told
    assert "the alphabet cannot spell 2 of 8 texts" in told
    alphabet = Alphabet.load(output)
    assert alphabet.unspellable("über äpfel") == set()
    assert alphabet.unspellable("5") == {"5"}

    assert main(["corpus", "alphabet", path, "-o", str(output), "--min-count", "2"]) == 0
    assert Alphabet.load(output).unspellable("ça") == {"a", "ç"}


@pytest.mark.parametrize(
    ("texts", "language", "arguments", "message"),
    [
        (["ja"], None, [], "the language of the texts is not clear (none is named)"),
        ([""], "de", [], "no utterance has a text"),
        (["ja"], "de", ["--language", "German"], "it must be a code of two or three small letters"),
        (["ja"], "ja", ["--min-count", "9"], "--min-count 9: no character occurs that often"),
    ],
)
def test_what_makes_no_alphabet_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    texts: list[str],
    language: str | None,
    arguments: list[str],
    message: str,
) -> None:
    command = ["corpus", "alphabet", manifest(tmp_path, *texts, language=language), *arguments]
    try:
        status = main([*command, "-o", str(tmp_path / "a.json")])
    except SystemExit as error:  # of the parser of arguments
        status = int(str(error.code))
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_a_check_tells_of_letters_that_english_loses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, "Über Straßen", "plain")
    assert main(["check", path, "--no-audio"]) == 0
    told = capsys.readouterr().out
    assert "1 of 2 texts" in told
    assert "letters that ds2 replaces by a to z: ß ü; if they are not English" in told
    assert main(["check", path, "--no-audio", "--language", "de"]) == 0
    told = capsys.readouterr().out
    assert "is read as: über straßen" in told
    assert "a to z" not in told


def test_a_check_goes_by_the_language_of_the_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, "Привет, мир", "ещё 5 минут", language="ru")
    assert main(["check", path, "--no-audio"]) == 1
    told = capsys.readouterr().out
    assert f"{path}:2: the alphabet lacks 5 (in: ещё 5 минут)" in told
    assert "lacks" not in told.replace("lacks 5", "")


def test_training_says_what_speaks_against_its_language(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from ds2.manifest import read_manifest
    from ds2.training.config import DataConfig
    from ds2.training.data.examples import language_notes

    german = read_manifest(manifest(tmp_path, "Über Straßen", "plain", language="de"))
    notes = list(language_notes(german, DataConfig(("x",), (tmp_path,))))
    assert len(notes) == 2
    assert (
        '2 of 2 utterances have language de in their manifests, but data.language is "en"'
        in notes[0]
    )
    assert "letters that ds2 replaced by a to z: ß ü" in notes[1]
    assert not list(language_notes(german, DataConfig(("x",), (tmp_path,), language="de")))
    mixed = read_manifest(manifest(tmp_path, "hello", language="en"))
    assert not list(language_notes(mixed, DataConfig(("x",), (tmp_path,), language="zh")))


def test_a_language_model_of_another_language_is_not_english_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "t.txt"
    text.write_text("Über Straßen\nplain\n", encoding="utf-8")
    command = ["lm", "build", str(text), "-o", str(tmp_path / "lm.bin"), "--order", "2"]
    command.append("--discount-fallback")
    assert main(command) == 0
    assert "50% of the lines have letters that ds2 replaced by a to z" in capsys.readouterr().err
    assert main([*command, "--language", "de"]) == 0
    assert not capsys.readouterr().err
    assert main(["lm", "score", str(tmp_path / "lm.bin"), str(text)]) == 0
    assert "über straßen" in capsys.readouterr().out
