"""Train a new language from a folder of recordings, with the tutorial's commands.

German words are sung, a tone for a letter; a small network learns them in seconds.
"""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from aids.tones import QUICKSTART, RECIPE
from ds2.audio import write_wav
from ds2.cli import main
from ds2.manifest import read_manifest
from ds2.model.bundle import load_bundle
from ds2.recognition.recognizer import Recognizer

WORDS = ("Bäche", "Höhe", "Ebbe", "Aß", "Ahoß", "öde")
TONES_HZ = {"ä": 550.0, "ö": 1000.0, "ß": 1650.0, "h": 2450.0, "o": 3700.0}
"""Tones of letters that the quickstart does not have."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty recordings, and a table of their texts as from a German spreadsheet."""
    directory = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(0)
    pairs = itertools.product(WORDS, WORDS)
    texts = [" ".join(pair) for pair in pairs] + [" ".join(t) for t in zip(*[WORDS] * 3)]  # noqa: B905
    texts += [" ".join(random.choice(WORDS, 3)) for _ in range(60 - len(texts))]
    RECIPE["sing"].__globals__["TONES_HZ"].update(TONES_HZ)
    with (directory / "texte.csv").open("w", encoding="cp1252", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["Datei", "Satz", "Sprecher"])
        for index, text in enumerate(texts):
            write_wav(directory / "wav" / f"{index:03d}.wav", RECIPE["sing"](text.lower(), random))
            table.writerow([f"{index:03d}.wav", f"{text}!", f"s{index % 2}"])
    return directory


@pytest.mark.slow
def test_a_folder_of_german_becomes_a_german_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)

    def ds2(command: str) -> str:
        assert main(command.split()) == 0, capsys.readouterr()
        return capsys.readouterr().out

    ds2("corpus import wav --texts texte.csv --language de -o all.jsonl")
    first = read_manifest("all.jsonl")[0]
    assert (first.text, first.speaker, first.language) == ("Bäche Bäche!", "s0", "de")
    assert "letters that English" not in ds2("check all.jsonl")
    assert "11 symbols: U+0020 a b c d e h o ß ä ö" in ds2(
        "corpus alphabet all.jsonl -o alphabet.json"
    )
    ds2("corpus split all.jsonl --by text --dev 10% --test 10% -o .")
    settings = ["data.train=train.jsonl", "data.dev=dev.jsonl", "data.alphabet=alphabet.json"]
    settings.append("training.epochs=20")
    arguments = [argument for each in settings for argument in ("--set", each)]
    assert main(["train", str(QUICKSTART), "-o", "run", *arguments]) == 0
    assert "finished; make a bundle with: ds2 export run -o BUNDLE" in "".join(capsys.readouterr())
    ds2("export run -o model")
    assert load_bundle(Path("model")).language == "de"
    ds2("lm build train.jsonl -o lm.bin --order 2 --language de --discount-fallback")
    ds2("lm tune dev.jsonl -m model --lm lm.bin --trials 2")
    ds2("evaluate test.jsonl -m model --json figures.json")
    figures = json.loads(Path("figures.json").read_text())
    assert figures["wer"]["rate"] < 0.1, figures["wer"]
    heard = ds2("transcribe wav/000.wav -m model")
    assert heard.strip() == "bäche bäche"
    assert Recognizer.load("model").transcribe("wav/000.wav").language == "de"
