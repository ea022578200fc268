"""Evaluate a test set: figures by hand, groups, the page, the aligned lines."""

from pathlib import Path

import pytest

from ds2.evaluation.evaluation import Evaluation, Scored, aligned_lines, score
from ds2.evaluation.metrics import align
from ds2.evaluation.report import evaluation_html
from ds2.manifest import Utterance


def scored(
    reference: str, hypothesis: str, *, speaker: str = "a", duration_s: float = 1.0, **extra: str
) -> Scored:
    utterance = Utterance(Path(f"/{speaker}.wav"), speaker=speaker, extra=extra)
    return score(utterance, duration_s, reference, hypothesis, extra.get("language", "en"))


SET = Evaluation(
    (
        scored("the cat sat", "the cat sat", speaker="a", source="read"),
        scored("one two three four", "one too three", speaker="b", duration_s=5, source="read"),
        scored("yes", "no no", speaker="b", duration_s=20, source="talk"),
    )
)


def test_rates_are_all_errors_over_all_words() -> None:
    counts = SET.words.counts
    edits = (counts.num_substitutions, counts.num_deletions, counts.num_insertions)
    assert edits == (2, 1, 1)
    assert SET.words.rate == pytest.approx(4 / 8)
    assert SET.words.low <= SET.words.rate <= SET.words.high
    assert SET.duration_s == 26


def test_mandarin_is_scored_in_characters() -> None:
    item = scored("今天天气好", "今天 天器好", language="zh")
    assert item.words.counts.rate == pytest.approx(1 / 5)
    assert item.characters == item.words.counts


def test_groups_part_the_set() -> None:
    assert list(SET.by_speaker()) == ["b", "a"]
    assert list(SET.by_length()) == ["under 2 s", "4 to 6 s", "over 15 s"]
    assert {name: len(group.scored) for name, group in SET.by_field("source").items()} == {
        "read": 2,
        "talk": 1,
    }
    assert list(SET.by_field("none")) == ["unknown"]


def test_the_worst_come_first_and_the_faultless_not_at_all() -> None:
    assert [item.reference for item in SET.worst()] == ["yes", "one two three four"]
    assert SET.confused()[0] in [("two", "too", 1), ("yes", "no", 1)]


def test_errors_stand_above_each_other() -> None:
    said, heard = aligned_lines(align(["a", "big", "cat"], ["a", "cut", "sat"]))
    assert said == "said   a BIG CAT"
    assert heard == "heard  a CUT SAT"
    said, heard = aligned_lines(align(["one", "two"], ["one"]))
    assert (said, heard) == ("said   one TWO", "heard  one ***")
    said, heard = aligned_lines(align("天气", "天"))
    assert (said, heard) == ("said   天 气", "heard  天 **")


def test_the_page_shows_errors_and_escapes_what_was_said() -> None:
    evaluation = Evaluation((scored("a <b> c", "a d c"),))
    page = evaluation_html(evaluation, {"model": "<m>"})
    assert "<del>&lt;b&gt;</del> <ins>d</ins>" in page
    assert "&lt;m&gt;" in page
    assert "<b>" not in page
    assert "http" not in page  # needs nothing from elsewhere
