"""`ds2 corpus filter`: the cost of texts, damaged transcripts, the classifier, the command."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.cli import main
from ds2.corpora.long.damage import damaged, error_rate
from ds2.corpora.long.filter import (
    FEATURES,
    Classifier,
    features_of,
    held_out_probabilities,
    precision_recall,
    train_classifier,
)
from ds2.ctc.cost import ctc_cost
from ds2.errors import InputError
from ds2.manifest import read_manifest

ROOT = Path(__file__).parents[2]
MODEL = str(ROOT / "models" / "en")
TEXTS = [
    "could you please call me back tomorrow morning before nine",
    "the next train to the city leaves from platform four",
]


def random_log_probs(num_frames: int, num_labels: int, seed: int) -> np.ndarray:
    scores = np.random.default_rng(seed).standard_normal((num_frames, num_labels))
    return (scores - np.log(np.exp(scores).sum(1, keepdims=True))).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 6), st.lists(st.integers(1, 2), max_size=4), st.integers(0, 10**6))
def test_the_cost_is_that_of_all_alignments(num_frames: int, labels: list[int], seed: int) -> None:
    log_probs = random_log_probs(num_frames, 3, seed)
    total = 0.0
    for sequence in itertools.product(range(3), repeat=num_frames):
        if [label for label, _ in itertools.groupby(sequence) if label] == labels:
            total += math.exp(float(log_probs[np.arange(num_frames), list(sequence)].sum()))
    expected = -math.log(total) if total else math.inf
    assert ctc_cost(log_probs, labels) == pytest.approx(expected, abs=1e-5)


def test_the_cost_of_one_label_by_hand() -> None:
    even = np.full((3, 4), math.log(0.25), np.float32)  # aaa aa- -aa a-- -a- --a: six of 64
    assert ctc_cost(even, [1]) == pytest.approx(-math.log(6 / 64), abs=1e-6)


words = st.lists(st.sampled_from(["one", "two", "three", "four"]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=100)
@given(words, st.lists(words, min_size=1, max_size=4), st.integers(0, 10**6))
def test_a_damaged_text_is_another_text(
    text: list[str], others: list[list[str]], seed: int
) -> None:
    source = " ".join(text)
    pool = [" ".join(other) for other in others]
    result = damaged(source, pool, "en", np.random.default_rng(seed))
    assert result
    assert result != source
    assert result == damaged(source, pool, "en", np.random.default_rng(seed))
    assert set(result.split()) <= set(text).union(*others)
    assert error_rate(source, result, "en") > 0


def test_mandarin_is_damaged_by_characters() -> None:
    results = {
        damaged("今天天气很好", ["我们走吧"], "zh", np.random.default_rng(seed))
        for seed in range(50)
    }
    assert len(results) > 10
    assert all(" " not in result for result in results)


def features_for(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Good utterances cost little, and bad ones cost much."""
    rng = np.random.default_rng(seed)
    is_good = rng.random(num) < 0.5
    features = rng.standard_normal((num, len(FEATURES)))
    features[:, 2] += np.where(is_good, -1.5, 1.5)
    return features, is_good


def test_a_classifier_learns_which_feature_tells() -> None:
    features, is_good = features_for(400)
    classifier = train_classifier(features, is_good)
    new, truth = features_for(400, seed=1)
    assert ((classifier.probabilities(new) > 0.5) == truth).mean() > 0.88


def test_held_out_probabilities_know_nothing_of_the_utterance() -> None:
    features = np.random.default_rng(0).standard_normal((60, len(FEATURES)))
    is_good = np.random.default_rng(1).random(60) < 0.5  # there is nothing to learn
    owners = np.arange(60)
    fitted = train_classifier(features, is_good).probabilities(features)
    held_out = held_out_probabilities(features, is_good, owners)
    assert ((fitted > 0.5) == is_good).mean() > 0.8  # more weights than utterances
    assert ((held_out > 0.5) == is_good).mean() < 0.65


def test_a_classifier_is_written_and_read(tmp_path: Path) -> None:
    features, is_good = features_for(100)
    classifier = train_classifier(features, is_good)
    path = tmp_path / "classifier.json"
    classifier.save(path)
    assert Classifier.load(path) == classifier


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is not a classifier"),
        ("[]", "is not a classifier"),
        ('{"format_version": 9, "features": []}', "of another version"),
        ("", "is not a classifier"),
    ],
)
def test_what_is_no_classifier_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classifier.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Classifier.load(path)


def test_a_damaged_classifier_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "classifier.json"
    train_classifier(*features_for(100)).save(path)
    data = json.loads(path.read_text())
    data["weights"].pop()
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="is damaged"):
        Classifier.load(path)


def test_one_kind_alone_teaches_nothing() -> None:
    with pytest.raises(ValueError, match="good and bad"):
        train_classifier(np.zeros((4, len(FEATURES))), np.ones(4, np.bool_))


def test_precision_and_recall_by_hand() -> None:
    curve = precision_recall(np.array([0.9, 0.2, 0.6, 0.6]), np.array([True, False, True, False]))
    assert curve.thresholds.tolist() == [0.2, 0.6, 0.9]
    assert curve.precision.tolist() == pytest.approx([1 / 2, 2 / 3, 1])
    assert curve.recall.tolist() == pytest.approx([1, 1, 1 / 2])
    assert curve.kept.tolist() == pytest.approx([1, 3 / 4, 1 / 4])
    assert curve.average_precision == pytest.approx(1 / 2 * 2 / 3 + 1 / 2)


def test_features_tell_a_right_text_from_a_wrong_one() -> None:
    from ds2.audio import read_audio
    from ds2.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(MODEL, greedy=True)
    log_probs = recognizer.log_probs(read_audio(ROOT / "samples" / "en-1.ogg"))
    right, wrong = features_of(log_probs, TEXTS, recognizer.bundle.alphabet)
    named = dict(zip(FEATURES, zip(right, wrong, strict=True), strict=True))
    for name in ("cost", "cost_per_frame", "cost_per_label", "margin_per_label", "misread"):
        assert named[name][0] < named[name][1], name
    assert named["num_words"] == pytest.approx((math.log(11), math.log(11)), abs=1e-5)


def write_samples(path: Path, texts: list[str]) -> str:
    """The two samples alternately, with these texts."""
    lines = [
        {"audio_filepath": str(ROOT / "samples" / f"en-{1 + index % 2}.ogg"), "text": text}
        for index, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.mark.slow
def test_the_command_keeps_what_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trusted = write_samples(tmp_path / "trusted.jsonl", TEXTS * 12)
    mixed = write_samples(tmp_path / "mixed.jsonl", [*TEXTS, TEXTS[1], TEXTS[0]] * 2)
    output, dropped = tmp_path / "kept.jsonl", tmp_path / "dropped.jsonl"
    saved, plot = tmp_path / "classifier.json", tmp_path / "curve.svg"
    command = ["corpus", "filter", mixed, "-m", MODEL, "-o", str(output)]
    learning = ["--trusted", trusted, "--save", str(saved), "--plot", str(plot)]
    assert main([*command, *learning, "--dropped", str(dropped)]) == 0
    assert "4 of 8 utterances" in capsys.readouterr().out
    for path, texts in ((output, TEXTS), (dropped, TEXTS[::-1])):
        utterances = read_manifest(path)
        assert [utterance.text for utterance in utterances] == texts * 2
        assert "others" not in utterances[0].extra
    assert all(utterance.extra["good"] >= 0.5 for utterance in read_manifest(output))
    assert plot.read_text().startswith("<?xml")
    before = output.read_bytes()
    assert main([*command, "--classifier", str(saved)]) == 0
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


@pytest.mark.slow
def test_a_manifest_can_be_learnt_from_itself(tmp_path: Path) -> None:
    manifest = write_samples(tmp_path / "m.jsonl", TEXTS * 10)
    output = tmp_path / "kept.jsonl"
    assert main(["corpus", "filter", manifest, "-m", MODEL, "-o", str(output)]) == 0
    assert len(read_manifest(output)) == 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        (TEXTS * 3, [], "too few utterances to learn from: 6 are usable"),
        (["", ""], [], "m.jsonl:1: has no text: add texts, because a filter compares them"),
        (TEXTS, ["--threshold", "2"], "--threshold: must be from 0 to 1, not 2"),
        (TEXTS, ["--bad-rate", "-1"], "--bad-rate: must be 0 or more, not -1"),
        (TEXTS, ["--plot", "curve.txt"], "curve.txt: must end in .png, .svg, .pdf or .jpg"),
        (TEXTS, ["--classifier", "gone.json"], "gone.json: cannot be read: no such file"),
        (TEXTS, ["--classifier", "a", "--trusted", "b"], "--trusted: trains a new classifier"),
        (
            TEXTS * 10,
            ["--threshold", "1"],
            "--threshold 1: no utterance is good with this probability",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    texts: list[str],
    arguments: list[str],
    message: str,
) -> None:
    manifest = write_samples(tmp_path / "m.jsonl", texts)
    output = tmp_path / "kept.jsonl"
    assert main(["corpus", "filter", manifest, "-m", MODEL, "-o", str(output), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    lines = [line for line in error.splitlines() if line.startswith("ds2: ")]
    assert len([line for line in lines if "compiling" not in line]) == 1
    assert not output.exists()
