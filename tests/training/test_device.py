"""A run on a device: samples stay there, and a step does not wait for it."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aids.tones import random_texts, tone_config, write_tones
from ds2.training.augment import Augmenter, augmentation_rng
from ds2.training.config import RunConfig, TrainingConfig
from ds2.training.data.dataset import Item, SpeechDataset, collate
from ds2.training.data.resident import ResidentSamples, Stored
from ds2.training.network.network import Network
from ds2.training.optimisation.optimiser import build_optimisers
from ds2.training.run.distributed import Workers
from ds2.training.run.parts import Data, load_data
from ds2.training.run.step import Stepper

CPU = torch.device("cpu")
CHANGED = {
    f"augmentation__{name}_probability": 0.5
    for name in ("speed", "reverberation", "lowpass", "gain", "mask", "vocal_tract")
}


def device_config(directory: Path, **changes: object) -> RunConfig:
    manifest = write_tones(directory, "train", random_texts(24))
    config: RunConfig = tone_config(
        manifest,
        manifest,
        data__augment_on="device",
        data__cache_gb=1.0,
        data__cache_dir=str(directory / "cache"),
        **CHANGED,
        **changes,
    )
    return config


def loaded(config: RunConfig, directory: Path) -> Data:
    return load_data(config, directory, None, device=CPU)


def features(data: Data) -> list[torch.Tensor]:
    return [batch.to(CPU).features for batch in data.batches.load([0, 1], 0, CPU)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_samples_on_the_device_give_the_same_features(tmp_path: Path, num_workers: int) -> None:
    config = device_config(tmp_path, data__num_workers=num_workers)
    copied = loaded(config, tmp_path)
    assert copied.batches.resident is None  # a CPU keeps no samples by default
    roomy = replace(config, data=replace(config.data, resident_gb=0.1))
    kept = loaded(roomy, tmp_path)
    assert isinstance(kept.batches.resident, ResidentSamples)
    for batch in kept.batches.load([0], 0, CPU):
        assert batch.raw is not None
        assert batch.raw.waveforms.numel() == 0  # loading processes send no samples
    pairs = list(zip(features(kept), features(copied), strict=True))
    assert len(pairs) > 2
    for found, expected in pairs:
        assert torch.equal(found, expected)


def test_samples_that_do_not_fit_are_copied_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = loaded(device_config(tmp_path, data__resident_gb=1e-6), tmp_path)
    assert data.batches.resident is None
    assert "data.resident_gb" in capsys.readouterr().out


def test_a_recording_too_short_for_its_text_is_told_though_its_samples_stay(tmp_path: Path) -> None:
    config = device_config(tmp_path, data__resident_gb=0.1, data__num_workers=0)
    data = loaded(config, tmp_path)
    assert data.batches.resident is not None
    places = [Stored(0, 100), *data.batches.resident.places[1:]]  # a file that is too short
    augmenter = Augmenter(config.augmentation)
    dataset = SpeechDataset(data.selection.examples, config, augmenter, places=places)
    items = [dataset[0, index] for index in (0, 1)]
    batch = collate(items, config.features).with_samples(data.batches.resident.samples)
    assert batch.errors == [items[0].error]
    assert "too short for its text" in batch.errors[0]
    assert batch.frame_lengths[0] == 0 < batch.frame_lengths[1]
    assert not batch.to(CPU).features[0].any()


def changed_item(index: int, config: RunConfig) -> Item:
    rng = augmentation_rng(0, 0, index)
    waveform = np.asarray(0.1 * rng.standard_normal(20_000 + 3000 * index), np.float32)
    augmenter = Augmenter(config.augmentation)
    changes = augmenter.draw(len(waveform), rng, 100)
    num_frames = config.features.num_frames(len(waveform))
    changes = augmenter.draw_for_features(changes, num_frames, config.features.num_bins, rng)
    nothing = np.zeros((0, config.features.num_bins), np.float32)
    return Item(index, nothing, (1, 2), waveform=waveform, changes=changes)


@pytest.mark.parametrize("recurrent", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_step_reads_from_the_device_once_when_the_gradient_is_there(
    tmp_path: Path, recurrent: str, bidirectional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Torch's "meta" device computes only shapes: code that asks it for a value fails.
    changes = dict.fromkeys(CHANGED, 1.0) | {
        "network__recurrent": recurrent,
        "network__bidirectional": bidirectional,
        "network__lookahead": 0 if bidirectional else 3,
        "network__fully_connected": [8],
    }
    config = tone_config(tmp_path, tmp_path, **changes)
    device = torch.device("meta")
    network = Network(config.network, 29).to(device)
    settings = TrainingConfig()
    stepper = Stepper(network, build_optimisers(network, settings), settings, Workers(), device)
    batch = collate([changed_item(index, config) for index in range(3)], config.features)
    seen: list[str] = []

    def ctc_loss(
        log_probs: torch.Tensor, _: torch.Tensor, *lengths: torch.Tensor, **__: object
    ) -> torch.Tensor:
        seen.extend(length.device.type for length in lengths)
        return log_probs.sum((0, 2))

    monkeypatch.setattr(torch.nn.functional, "ctc_loss", ctc_loss)  # does not exist for this device
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # nor this
    with pytest.raises(NotImplementedError) as caught:
        stepper.step([batch], 3, 0, 1e-3)
    last = [entry for entry in caught.traceback if "ds2" in Path(str(entry.path)).parts][-1]
    assert "tolist()" in str(last.statement)
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert seen == ["cpu", "cpu"]
