"""Compare imported networks and front ends with results of the toolkits' own classes."""

from pathlib import Path

import numpy as np
import pytest

from aids.archives import ORIGINALS, imported
from aids.originals import (
    SECONDS,
    TOKENS,
    VARIANTS,
    noise_waveform,
    normalise,
)
from ds2.cli import main
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import Bundle
from ds2.model.front_end import compute_features
from ds2.recognition.recognizer import Recognizer

CASES = [(toolkit, name) for toolkit in VARIANTS for name in VARIANTS[toolkit]]


def as_ours(toolkit: str, log_probs: np.ndarray) -> np.ndarray:
    """The originals' results with our labels: labels that spell nothing count as blank."""
    if toolkit == "deepspeech.pytorch":
        return log_probs
    silent = [TOKENS.index(token) for token in ("<blank>", "<unk>", "<eos>")]
    blank = np.logaddexp.reduce(log_probs[:, silent], axis=1, keepdims=True)
    spelt = [index for index in range(len(TOKENS)) if index not in silent]
    return np.concatenate([blank, log_probs[:, spelt]], axis=1)


def log_probs_of(bundle: Bundle, features: np.ndarray, chunk: int | None) -> np.ndarray:
    """(T', V) of a model: whole, or in chunks of so many frames where it streams."""
    model = AcousticModel(bundle)
    facts = bundle.model
    lengths = np.array([len(features)])
    num_outputs = facts.num_outputs(len(features))
    if not facts.streaming:
        return model.whole(features[np.newaxis], lengths)[0, :num_outputs]
    num_frames = (facts.delay + num_outputs) * facts.time_stride
    chunk = chunk or num_frames
    padded = np.full((1, num_frames + chunk, features.shape[1]), 7, np.float32)
    padded[0, : len(features)] = features
    state, pieces = model.initial_state(1), []
    for start in range(0, num_frames, chunk):
        piece, state = model.step(padded[:, start : start + chunk], state, lengths)
        pieces.append(piece[0])
    return np.concatenate(pieces)[facts.delay : facts.delay + num_outputs]


@pytest.mark.slow
@pytest.mark.parametrize(("toolkit", "name"), CASES)
def test_an_imported_network_is_the_original(toolkit: str, name: str, tmp_path: Path) -> None:
    bundle = imported(toolkit, name, tmp_path)
    expected = np.load(ORIGINALS / toolkit / name / "expected.npz")
    theirs = as_ours(toolkit, expected["log_probs_0"])
    features = expected["features_0"]
    if toolkit in ("masr", "ppasr"):  # these normalise inside the network
        means, deviations = map(np.array, (bundle.features.means, bundle.features.deviations))
        features = ((features - means) / deviations).astype(np.float32)
    for chunk in (None, 4, 20):
        ours = log_probs_of(bundle, features, chunk)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("toolkit", "name"), CASES)
def test_imported_features_are_the_original(toolkit: str, name: str, tmp_path: Path) -> None:
    bundle = imported(toolkit, name, tmp_path)
    theirs = np.load(ORIGINALS / toolkit / name / "expected.npz")["features_0"]
    waveform = noise_waveform(SECONDS[toolkit])
    ours = compute_features(waveform, bundle.features)
    if toolkit in ("masr", "ppasr"):
        means, deviations = map(np.array, (bundle.features.means, bundle.features.deviations))
        ours = ours * deviations + means
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-3


def test_statistics_of_the_corpus_normalise(tmp_path: Path) -> None:
    bundle = imported("paddlespeech", "both-gru", tmp_path)
    assert np.allclose(normalise("paddlespeech", 12.0), 0)
    assert np.allclose(bundle.features.means, 12)
    assert np.allclose(bundle.features.deviations, 3)


def test_an_imported_model_streams_as_the_whole(tmp_path: Path) -> None:
    imported("paddlespeech", "forward-gru-fc", tmp_path)
    recognizer = Recognizer.load(tmp_path / "bundle")
    waveform = noise_waveform(2.0)
    whole = recognizer.transcribe(waveform)
    stream = recognizer.stream()
    for start in range(0, len(waveform), 777):
        stream.feed(waveform[start : start + 777])
    assert stream.finish().text == whole.text


@pytest.mark.slow
@pytest.mark.parametrize("num_frames", [0, 1, 6, 7, 8, 10, 11])
def test_short_utterances_have_the_outputs_of_the_original(num_frames: int, tmp_path: Path) -> None:
    num_outputs = max(0, ((num_frames - 1) // 2 - 1) // 2)
    samples = 400 + 160 * (num_frames - 1) if num_frames else 0
    for name in ("forward-lstm", "both-gru"):
        bundle = imported("paddlespeech", name, tmp_path / name)
        assert bundle.model.num_outputs(num_frames) == num_outputs
        log_probs = Recognizer.load(bundle.path).log_probs(noise_waveform(samples / 16_000))
        assert log_probs.shape == (num_outputs, len(bundle.alphabet))


def test_weights_can_be_stored_as_int8(tmp_path: Path) -> None:
    exact = imported("paddlespeech", "forward-lstm", tmp_path / "exact")
    bundle = imported("paddlespeech", "forward-lstm", tmp_path, "--weights", "int8")
    assert bundle.model.weights == "int8"
    features = np.load(ORIGINALS / "paddlespeech" / "forward-lstm" / "expected.npz")["features_0"]
    difference = log_probs_of(bundle, features, 4) - log_probs_of(exact, features, 4)
    assert 0 < np.abs(difference).max() < 0.5


def test_a_bundle_says_where_it_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = imported("deepspeech.pytorch", "forward-lstm", tmp_path, "--licence", "MIT")
    assert bundle.licence == "MIT"
    assert bundle.training["imported"]["from"] == "deepspeech.pytorch"
    assert bundle.alphabet.symbols == ("'", "a", "b", "c", " ")
    assert bundle.latency_s is None
    assert main(["info", str(bundle.path)]) == 0
    shown = capsys.readouterr().out
    assert "lookahead 19" in shown
    assert "deepspeech.pytorch" in shown
