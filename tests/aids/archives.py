"""Make checkpoints of other toolkits with random weights, and bundles from them."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch

from aids.originals import CAPITALS, VARIANTS, random_weights, write_belongings
from ds2.cli import main
from ds2.model.bundle import Bundle, load_bundle

ORIGINALS = Path(__file__).parent.parent / "importing" / "originals"
NUM_BINS = 23


def write_checkpoint(toolkit: str, name: str, folder: Path) -> list[str]:
    """Write a checkpoint as the toolkit does; return the arguments for `ds2 import`."""
    settings = VARIANTS[toolkit][name]
    shapes = json.loads((ORIGINALS / toolkit / name / "shapes.json").read_text())
    weights: dict[str, Any] = dict(random_weights(shapes))
    folder.mkdir(parents=True, exist_ok=True)
    path = write_belongings(toolkit, settings, folder, NUM_BINS)
    if path.suffix == ".pdparams":
        path.write_bytes(pickle.dumps({**weights, "StructuredToParameterName@@": {}}, 4))
    else:
        tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
        content: dict[str, Any] = tensors
        if toolkit == "deepspeech.pytorch":  # as in its version 2
            audio = {"sample_rate": 16_000, "window_size": 0.02, "window": "hamming"}
            content = {"state_dict": tensors, "labels": CAPITALS, "audio_conf": audio}
        torch.save(content, path)
    if toolkit == "paddlespeech":
        return [toolkit, str(folder)]
    if toolkit == "deepspeech.pytorch":
        return [toolkit, str(path)]
    config, vocabulary = folder / "deepspeech2.yml", folder / "vocabulary.txt"
    return [toolkit, str(path), "--config", str(config), "--vocabulary", str(vocabulary)]


def imported(toolkit: str, name: str, folder: Path, *options: str) -> Bundle:
    """The bundle that `ds2 import` makes from such a checkpoint."""
    arguments = write_checkpoint(toolkit, name, folder / "original")
    assert main(["import", *arguments, "-o", str(folder / "bundle"), *options]) == 0
    return load_bundle(folder / "bundle")
