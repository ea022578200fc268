"""Splits: no speaker in two, close to the wanted amounts, unchanged when more data come."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ds2.cli import main
from ds2.corpora.partition import choose
from ds2.corpora.split import SPLITS, Amount, SplitRules, Splits, split
from ds2.manifest import Utterance, read_manifest, write_manifest

TWENTIETHS = {"dev": Amount.parse("5%"), "test": Amount.parse("5%")}


def said(
    speaker: str | None, number: int, duration_s: float = 4.0, text: str | None = None, **extra: str
) -> Utterance:
    path = Path(f"/audio/{speaker}-{number}.wav")
    text = text if text is not None else f"{speaker} says {number}"
    return Utterance(path, duration_s, text, speaker=speaker, extra=extra)


def many(num_speakers: int = 100, per_speaker: int = 5, **extra: str) -> list[Utterance]:
    return [
        said(f"s{speaker}", number, 2.0 + speaker % 7 + number, **extra)
        for speaker in range(num_speakers)
        for number in range(per_speaker)
    ]


def paths(splits: Splits) -> dict[str, set[Path]]:
    return {
        name: {item.utterance.audio_path for item in items}
        for name, items in splits.utterances.items()
    }


def speakers(splits: Splits, name: str) -> set[str | None]:
    return {item.speaker for item in splits.utterances[name]}


def hours_share(splits: Splits, name: str) -> float:
    seconds = {
        each: sum(item.duration_s or 0 for item in items)
        for each, items in splits.utterances.items()
    }
    return seconds[name] / sum(seconds.values())


UTTERANCES = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.floats(0.1, 30),
        st.sampled_from(["one", "two", "three", ""]),
        st.sampled_from(["radio", "phone"]),
    ),
    min_size=1,
    max_size=40,
).map(
    lambda rows: (
        [said("y", 1000), said("z", 1001), said("x", 1002)]
        + [
            said(name, number, seconds, text, source=source)
            for number, (name, seconds, text, source) in enumerate(rows)
        ]
    )
)


@given(UTTERANCES, st.integers(0, 3), st.booleans())
@settings(deadline=None, max_examples=60)
def test_every_utterance_is_in_one_split_and_no_speaker_in_two(
    utterances: list[Utterance], seed: int, balances: bool
) -> None:
    rules = SplitRules(TWENTIETHS, balance=("source",) if balances else (), seed=seed)
    splits = split(utterances, rules)
    found = [item.utterance for name in SPLITS for item in splits.utterances[name]]
    assert sorted(u.audio_path for u in found) == sorted(u.audio_path for u in utterances)
    assert all(splits.utterances[name] for name in SPLITS)
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not speakers(splits, first) & speakers(splits, second)


@given(UTTERANCES, st.integers(0, 3), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_the_split_depends_on_the_seed_and_not_on_the_order(
    utterances: list[Utterance], seed: int, shuffler: random.Random
) -> None:
    rules = SplitRules(TWENTIETHS, seed=seed)
    shuffled = list(utterances)
    shuffler.shuffle(shuffled)
    assert paths(split(utterances, rules)) == paths(split(shuffled, rules))


@given(UTTERANCES, UTTERANCES)
@settings(deadline=None, max_examples=40)
def test_speakers_of_earlier_splits_stay_where_they_are(
    before: list[Utterance], more: list[Utterance]
) -> None:
    rules = SplitRules(TWENTIETHS)
    earlier = split(before, rules)
    kept = {name: [item.utterance for item in earlier.utterances[name]] for name in SPLITS}
    both = split([*before, *more, said("new", 1)], rules, kept)
    for name in SPLITS:
        assert speakers(earlier, name) <= speakers(both, name)


@given(UTTERANCES)
@settings(deadline=None, max_examples=40)
def test_texts_can_be_left_out_of_the_larger_splits(utterances: list[Utterance]) -> None:
    splits = split(utterances, SplitRules(TWENTIETHS, texts="left-out"))
    texts = {name: {item.text for item in splits.utterances[name]} - {""} for name in SPLITS}
    assert not texts["train"] & (texts["dev"] | texts["test"])
    assert not texts["dev"] & texts["test"]
    num_found = sum(map(len, splits.utterances.values()))
    assert num_found + len(splits.left_out) == len(utterances)


@pytest.mark.parametrize("seed", range(5))
def test_many_speakers_come_to_within_a_tenth_of_a_per_cent(seed: int) -> None:
    splits = split(many(), SplitRules(TWENTIETHS, seed=seed))
    assert hours_share(splits, "dev") == pytest.approx(0.05, abs=0.001)
    assert hours_share(splits, "test") == pytest.approx(0.05, abs=0.001)


def test_another_seed_gives_another_split() -> None:
    found = [paths(split(many(), SplitRules(TWENTIETHS, seed=seed)))["test"] for seed in (0, 1)]
    assert found[0] != found[1]


def test_one_speaker_of_half_the_hours_is_trained_on() -> None:
    utterances = [*many(40), *(said("whale", number, 30.0) for number in range(40))]
    splits = split(utterances, SplitRules(TWENTIETHS))
    assert "whale" in speakers(splits, "train")
    assert len(speakers(splits, "test")) >= 3


def test_each_source_has_the_same_share_of_each_split() -> None:
    phone = [said(f"p{i}", j, 5, source="phone") for i in range(60) for j in range(3)]
    radio = [said(f"r{i}", j, 5, source="radio") for i in range(20) for j in range(3)]
    amounts = {"test": Amount.parse("20%")}
    splits = split([*phone, *radio], SplitRules(amounts, balance=("source",)))
    names = sorted(str(name) for name in speakers(splits, "test"))
    assert len(names) == 16
    assert sum(name.startswith("r") for name in names) == 4


def test_texts_that_speakers_share_keep_them_together() -> None:
    pairs = [said(f"s{i}", i, text=f"prompt {i // 2}") for i in range(40)]
    splits = split(pairs, SplitRules({"test": Amount.parse("8")}, texts="apart"))
    texts = {name: {item.text for item in splits.utterances[name]} for name in SPLITS}
    assert len(splits.utterances["test"]) == 8
    assert not texts["train"] & texts["test"]


def test_hours_and_numbers_of_utterances_can_be_asked_for() -> None:
    utterances = [said(f"s{i}", j, 36.0) for i in range(50) for j in range(4)]
    amounts = {"dev": Amount.parse("0.2h"), "test": Amount.parse("12")}
    splits = split(utterances, SplitRules(amounts))
    assert {name: len(items) for name, items in splits.utterances.items()} == {
        "train": 168,
        "dev": 20,
        "test": 12,
    }


@example(weights=[3], target=5e-324, most=3)
@given(st.lists(st.integers(0, 50), max_size=9), st.floats(0, 100), st.integers(0, 9))
@settings(deadline=None)
def test_a_choice_is_of_different_weights_and_not_too_many(
    weights: Sequence[int], target: float, most: int
) -> None:
    chosen = choose(weights, target, most)
    assert len(set(chosen)) == len(chosen) <= most
    assert all(0 <= index < len(weights) for index in chosen)
    # Never farther off than an empty split.
    assert abs(target - sum(weights[index] for index in chosen)) <= max(target, 0)


def test_an_utterance_without_a_speaker_is_named() -> None:
    utterance = Utterance(
        Path("/a.wav"), 1.0, "hi", extra={"session": "3"}, source_file=Path("all.jsonl"), line=4
    )
    with pytest.raises(ValueError, match=r"all.jsonl:4: has no speaker: .* --by recording"):
        split([*many(5), utterance], SplitRules(TWENTIETHS))
    utterances = [said(None, number, session=f"{number % 9}") for number in range(90)]
    splits = split(utterances, SplitRules(TWENTIETHS, by=("session",)))
    sessions = [{i.utterance.extra["session"] for i in splits.utterances[n]} for n in SPLITS]
    assert list(map(len, sessions)) == [7, 1, 1]


def test_too_few_speakers_are_refused() -> None:
    with pytest.raises(
        ValueError, match="by speaker: 2 in all, too few for 3 splits: use --by text"
    ):
        split(many(2), SplitRules(TWENTIETHS))
    shared = [said(f"s{i}", i, text="the same") for i in range(9)]
    with pytest.raises(ValueError, match=r"text: 1 in all.*try --texts left-out"):
        split(shared, SplitRules(TWENTIETHS, texts="apart"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--dev, --test: give the size of one or both, such as --dev 5%"),
        (["--dev", "much"], "--dev much: it must be a share (5%), hours (2h) or utterances (500)"),
        (["--dev", "0%"], "--dev 0%: it must be a share (5%), hours (2h) or utterances (500)"),
        (["--dev", "1.5"], "--dev 1.5: it must be a whole number of utterances, or end in % or h"),
        (["--dev", "100%"], "--dev 100%: it must be under 100%"),
        (["--dev", "50%", "--test", "50%"], "dev and test ask for 100%: leave something for train"),
        (["--test", "2h"], "one split asks for 2 h, but there are only 0.97 h in all"),
        (["--test", "5%", "--keep", "."], "--keep .: has no train.jsonl, dev.jsonl or test.jsonl"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    write_manifest(tmp_path / "all.jsonl", many())
    command = ["corpus", "split", str(tmp_path / "all.jsonl"), "-o", str(tmp_path / "out")]
    assert main([*command, *arguments]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith(f"ds2: {message}")
    assert captured.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_writes_three_manifests_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    utterances = many()
    utterances[0] = said("s0", 0, text="said by two")
    utterances[-1] = said("s99", 4, text="Said by TWO!")
    write_manifest(tmp_path / "a.jsonl", utterances[:300])
    write_manifest(tmp_path / "b.jsonl", utterances[300:])
    manifests = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    amounts = ["--dev", "5%", "--test", "5%"]
    command = ["corpus", "split", *manifests, *amounts]
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "train" in shown
    assert "the rest" in shown
    found = {name: read_manifest(tmp_path / "out" / f"{name}.jsonl") for name in SPLITS}
    assert sum(map(len, found.values())) == 500
    more = [said(f"new{speaker}", number) for speaker in range(50) for number in range(5)]
    write_manifest(tmp_path / "c.jsonl", more)
    command = ["corpus", "split", *manifests, str(tmp_path / "c.jsonl"), *amounts]
    arguments = ["--keep", str(tmp_path / "out"), "--texts", "left-out"]
    assert main([*command, *arguments, "-o", str(tmp_path / "out2")]) == 0
    again = {name: read_manifest(tmp_path / "out2" / f"{name}.jsonl") for name in SPLITS}
    for name in SPLITS:
        before = {utterance.speaker for utterance in found[name]}
        assert before <= {utterance.speaker for utterance in again[name]}
        assert len(again[name]) > len(found[name])


def test_a_train_of_one_speaker_is_not_made_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.jsonl"
    write_manifest(path, [said(f"s{i % 3}", i, text=f"number {i}") for i in range(60)])
    command = ["corpus", "split", str(path), "--dev", "10%", "--test", "10%", "-o"]
    assert main([*command, str(tmp_path / "by-speaker")]) == 0
    assert "ds2: train has only the speaker" in (told := capsys.readouterr().err)
    assert "--by text" in told
    assert main([*command, str(tmp_path / "by-text"), "--by", "text"]) == 0
    assert not capsys.readouterr().err
    parts = [read_manifest(tmp_path / "by-text" / f"{name}.jsonl") for name in SPLITS]
    assert len({utterance.speaker for utterance in parts[0]}) == 3
    texts = [{utterance.text for utterance in part} for part in parts]
    assert sum(map(len, texts)) == len(set[str | None]().union(*texts)) == 60
