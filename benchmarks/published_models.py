"""Compare imported models with the original models: features, log-probabilities, chunks.

    PY tests/aids/originals.py paddlespeech SOURCE OUT/paddlespeech RECORDING.wav ...
    PYTHONPATH=tests python benchmarks/published_models.py OUT

tests/aids/originals.py explains PY and SOURCE. The first command runs a toolkit's own classes with
random weights and keeps the results. The second command imports the same checkpoints and compares.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from aids.originals import TOKENS
from ds2.cli import main as ds2
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import Bundle, load_bundle
from ds2.model.front_end import compute_features
from ds2.recognition.recognizer import Recognizer

CHUNKS = (4, 20, 36)
"""Frames in a step."""


def import_arguments(toolkit: str, folder: Path) -> list[str]:
    if toolkit == "paddlespeech":
        return [toolkit, str(folder)]
    path = next(path for path in folder.iterdir() if path.stem == "model")
    if toolkit == "deepspeech.pytorch":
        return [toolkit, str(path)]
    config, vocabulary = folder / "deepspeech2.yml", folder / "vocabulary.txt"
    return [toolkit, str(path), "--config", str(config), "--vocabulary", str(vocabulary)]


def with_our_labels(toolkit: str, log_probs: Any) -> Any:
    """Add the probability of labels that spell nothing to the blank."""
    if toolkit == "deepspeech.pytorch":
        return log_probs
    silent = [TOKENS.index(token) for token in ("<blank>", "<unk>", "<eos>")]
    blank = np.logaddexp.reduce(log_probs[:, silent], axis=1, keepdims=True)
    spelt = [index for index in range(len(TOKENS)) if index not in silent]
    return np.concatenate([blank, log_probs[:, spelt]], axis=1)


def in_chunks(bundle: Bundle, features: Any, chunk: int) -> Any:
    model, facts = AcousticModel(bundle), bundle.model
    num_outputs = facts.num_outputs(len(features))
    num_frames = (facts.delay + num_outputs) * facts.time_stride
    padded = np.zeros((1, num_frames + chunk, features.shape[1]), np.float32)
    padded[0, : len(features)] = features
    state, pieces = model.initial_state(1), []
    for start in range(0, num_frames, chunk):
        piece, state = model.step(
            padded[:, start : start + chunk], state, np.array([len(features)])
        )
        pieces.append(piece[0])
    return np.concatenate(pieces)[facts.delay : facts.delay + num_outputs]


def whole(bundle: Bundle, features: Any) -> Any:
    if bundle.model.streaming:
        return in_chunks(bundle, features, 4 * len(features))
    num_outputs = bundle.model.num_outputs(len(features))
    log_probs = AcousticModel(bundle).whole(features[np.newaxis], np.array([len(features)]))
    return log_probs[0, :num_outputs]


def compare(toolkit: str, folder: Path, bundle: Bundle) -> list[float]:
    """Largest differences: of features; of log_probs from their features and from the waveform; of
    chunks from the whole."""
    expected = np.load(folder / "expected.npz")
    recognizer = Recognizer.load(bundle.path)
    largest = np.zeros(4)
    for i in range(sum(name.startswith("waveform") for name in expected)):
        waveform = expected[f"waveform_{i}"]
        features = compute_features(waveform, bundle.features)
        theirs = expected[f"features_{i}"]
        if toolkit in ("masr", "ppasr"):  # these normalise inside the network
            means, deviations = map(np.array, (bundle.features.means, bundle.features.deviations))
            theirs = (theirs - means) / deviations
        log_probs = recognizer.log_probs(waveform)
        largest[0] = max(largest[0], np.abs(features - theirs).max())
        expected_log_probs = with_our_labels(toolkit, expected[f"log_probs_{i}"])
        from_theirs = whole(bundle, np.asarray(theirs, np.float32))
        largest[1] = max(largest[1], np.abs(from_theirs - expected_log_probs).max())
        largest[2] = max(largest[2], np.abs(log_probs - expected_log_probs).max())
        for chunk in CHUNKS if bundle.model.streaming else ():
            difference = in_chunks(bundle, features, chunk) - log_probs
            largest[3] = max(largest[3], np.abs(difference).max())
    return largest.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("originals", type=Path, metavar="OUT")
    args = parser.parse_args()
    table = Table("model", "streams", "features", "log_probs", "and features", "chunks")
    for path in sorted(args.originals.glob("*/*/expected.npz")):
        folder, toolkit = path.parent, path.parent.parent.name
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary) / "bundle"
            if ds2(["import", *import_arguments(toolkit, folder), "-o", str(place)]):
                continue
            bundle = load_bundle(place)
            differences = compare(toolkit, folder, bundle)
        shown = [f"{value:.1e}" for value in differences]
        if not bundle.model.streaming:
            shown[3] = ""
        table.add_row(f"{toolkit} {folder.name}", str(bundle.model.streaming), *shown)
    Console().print(table)


if __name__ == "__main__":
    main()
