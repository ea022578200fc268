"""Features from a device equal those of the numpy front end, with the same random numbers."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from ds2.audio import write_wav
from ds2.model.features import FeatureConfig, log_spectrogram
from ds2.training.augment import AugmentationConfig, Augmenter, Changes, NoiseBank
from ds2.training.changes import change_features, change_waveform
from ds2.training.data.tensor_front_end import features_of, side_by_side

LENGTHS = [16_000, 40_321, 333, 9_999, 25_000, 31_007]


def speech_like(num_samples: int, seed: int) -> np.ndarray:
    """Noise with changing loudness and with pauses, as loud as speech."""
    rng = np.random.default_rng(seed)
    swell = np.sin(np.arange(num_samples) / 3000 * rng.uniform(1, 2)).clip(0.001)
    return (0.2 * swell * rng.standard_normal(num_samples)).astype(np.float32)


def assert_same_features(
    waveforms: list[np.ndarray], changes: list[Changes], config: FeatureConfig
) -> None:
    made = features_of(side_by_side(waveforms, changes, config)).numpy()
    for row, (waveform, change) in enumerate(zip(waveforms, changes, strict=True)):
        expected = log_spectrogram(change_waveform(waveform, change), config)
        expected = change_features(expected, change)
        np.testing.assert_allclose(made[row, : len(expected)], expected, rtol=0, atol=1e-4)
        assert not made[row, len(expected) :].any()


@pytest.fixture
def bank(tmp_path: Path) -> NoiseBank:
    for index, num_samples in enumerate([3000, 100_000]):
        write_wav(tmp_path / f"{index}.wav", speech_like(num_samples, 100 + index))
    return NoiseBank(sorted(tmp_path.glob("*.wav")))


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["causal", "clip"])
@pytest.mark.parametrize(
    "kind",
    [
        *("nothing", "speed", "reverberation", "noise", "lowpass", "telephone", "gain", "mask"),
        *("vocal_tract", "everything", "some"),
    ],
)
def test_tensors_equal_the_numpy_front_end(
    kind: str, normalisation: Literal["causal", "clip"], bank: NoiseBank
) -> None:
    names = [f for f in AugmentationConfig.__dataclass_fields__ if f.endswith("_probability")]
    chances = {
        name: {"everything": 1.0, "some": 0.5}.get(kind, float(name.startswith(kind)))
        for name in names
    }
    augmenter = Augmenter(AugmentationConfig(**chances), bank)  # type: ignore[arg-type]
    config = FeatureConfig(normalisation=normalisation)
    waveforms = [speech_like(length, seed) for seed, length in enumerate(LENGTHS)]
    changes = []
    for seed, waveform in enumerate(waveforms):
        rng = np.random.default_rng(seed)
        change = augmenter.draw(len(waveform), rng)
        num_frames = config.num_frames(len(change_waveform(waveform, change)))
        changes.append(augmenter.draw_for_features(change, num_frames, config.num_bins, rng))
    are_changed = [c.waveform_changes or c.time_masks or c.vocal_tract != 1 for c in changes]
    assert any(are_changed) == (kind != "nothing")
    assert_same_features(waveforms, changes, config)


def test_silence_and_utterances_that_are_not_there_are_quiet() -> None:
    config = FeatureConfig()
    silent = Changes(noise=np.zeros(8000, np.float32), speed_percent=90, gain=2.0)
    waveforms = [np.zeros(7200, np.float32), np.zeros(0, np.float32), speech_like(5000, 0)]
    changes = [silent, Changes(), Changes()]
    assert_same_features(waveforms, changes, config)
    nobody = side_by_side([np.zeros(0, np.float32)], [Changes()], config)
    assert torch.equal(features_of(nobody), torch.zeros(1, 1, config.num_bins))
