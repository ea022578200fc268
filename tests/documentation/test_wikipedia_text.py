"""recipes/wikipedia_text.py takes whole, plain sentences, and none that overlaps held-out ones."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from aids.pages import ROOT

RECIPE: dict[str, Any] = runpy.run_path(str(ROOT / "recipes/wikipedia_text.py"))


def test_english_sentences_are_whole_and_plain() -> None:
    paragraph = "He met Mr. Brown (). They left early. It was in 1990. Was it late?"
    assert list(RECIPE["sentences_in"](paragraph, "en")) == ["They left early.", "Was it late?"]


def test_mandarin_sentences_are_whole_and_plain() -> None:
    paragraph = "今天天气很好。他在2010年来了。你好吗？"
    assert list(RECIPE["sentences_in"](paragraph, "zh")) == ["今天天气很好。", "你好吗？"]


@pytest.mark.parametrize(
    ("sentence", "touches"),
    [
        ("one two three", True),  # the whole of a short one
        ("one two three four", False),
        ("x b c d e f y", True),  # a run of 5 of the long one
        ("x b c d e y f", False),
    ],
)
def test_sentences_that_share_a_run_with_held_out_ones_are_found(
    sentence: str, touches: bool
) -> None:
    held_out = [["one", "two", "three"], list("abcdefgh")]
    overlap = RECIPE["Overlap"](held_out, 4, 5)
    assert overlap.touches(sentence.split()) is touches


def test_held_out_sentences_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    articles = tmp_path / "AA" / "wiki_00"
    articles.parent.mkdir()
    first, second = "The train leaves in the morning.", "The river is wide and cold."
    articles.write_text(f'<doc id="1">\n{first} {second} {second}\n</doc>\n')
    held_out = tmp_path / "dev.jsonl"
    held_out.write_text(json.dumps({"audio_filepath": "a.wav", "text": first.lower()[:-1]}) + "\n")
    output = tmp_path / "text.txt"
    words = ["--language", "en", str(articles.parent), "-o", str(output)]
    monkeypatch.setattr("sys.argv", ["recipe", *words, "--held-out", str(held_out)])
    RECIPE["main"]()
    assert output.read_text() == "the river is wide and cold\n"
