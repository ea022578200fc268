"""The front ends of imported models: whole equals any pieces; Kaldi's own values."""

import itertools
from dataclasses import replace

import kaldi_native_fbank
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.model.features import FeatureConfig
from ds2.model.filter_banks import FilterBankConfig
from ds2.model.front_end import FrontEnd, compute_features, front_end_from, stream_frames
from ds2.model.magnitudes import MagnitudeConfig
from ds2.settings import settings_to_dict

CONFIGS: list[FrontEnd] = [
    FeatureConfig(),
    FilterBankConfig(num_bins=161, floor=1e-7, means=(1.5,) * 161, deviations=(3.0,) * 161),
    FilterBankConfig(clip_level_db=-20.0),
    MagnitudeConfig(),
    MagnitudeConfig(window_ms=25, window_shape="blackman"),
]


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal(num_samples)).astype(np.float32)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@settings(deadline=None, max_examples=15)
@given(pieces=st.lists(st.integers(0, 3000), max_size=8), seed=st.integers(0, 99))
def test_whole_equals_any_pieces_bit_for_bit(
    config: FrontEnd, pieces: list[int], seed: int
) -> None:
    waveform = noise(sum(pieces), seed)
    stream = stream_frames(config)
    edges = np.cumsum([0, *pieces])
    parts = [stream.feed(waveform[a:b]) for a, b in itertools.pairwise(edges)]
    joined = np.concatenate([*parts, stream.finish()])
    whole = compute_features(waveform, config)
    assert np.array_equal(joined, whole)
    assert whole.shape == (config.num_frames(len(waveform)), config.num_bins)
    assert whole.dtype == np.float32


def test_filter_banks_are_those_of_kaldi() -> None:
    waveform = noise(16_000)
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    kaldi = kaldi_native_fbank.OnlineFbank(options)
    kaldi.accept_waveform(16_000, (waveform * 32_768).tolist())
    theirs = np.stack([kaldi.get_frame(i) for i in range(kaldi.num_frames_ready)])
    ours = compute_features(waveform, FilterBankConfig())
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-3


def test_a_clip_is_scaled_to_its_level() -> None:
    waveform, config = noise(16_000), FilterBankConfig(clip_level_db=-20.0)
    difference = compute_features(waveform, config) - compute_features(0.25 * waveform, config)
    assert np.abs(difference).max() < 0.05  # the rounding to 16 bits


@pytest.mark.parametrize("config", CONFIGS[2:], ids=str)
def test_digital_silence_gives_finite_features(config: FrontEnd) -> None:
    assert np.isfinite(compute_features(np.zeros(4000, np.float32), config)).all()


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_front_end_is_read_as_it_was_written(config: FrontEnd) -> None:
    assert front_end_from(settings_to_dict(config), "bundle.json") == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "other"}, r"features\.kind: 'other': this ds2 knows"),
        ({"kind": ["filter_banks"]}, r"features\.kind"),
        ({"kind": "filter_banks", "colour": 1}, r"features\.colour: unknown key"),
        ({"kind": "filter_banks", "num_bins": 0}, r"features\.num_bins: must be positive"),
        ({"kind": "filter_banks", "means": [1.0]}, r"features\.means: must have 80 values, not 1"),
        ({"kind": "magnitudes", "window_shape": "round"}, r"features\.window_shape"),
    ],
)
def test_wrong_settings_are_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"bundle.json: {message}"):
        front_end_from(data, "bundle.json")


def test_only_features_of_the_past_are_causal() -> None:
    assert [config.causal for config in CONFIGS] == [True, True, False, False, False]
    assert not replace(FeatureConfig(), normalisation="clip").causal
