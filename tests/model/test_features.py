"""The front end: values by hand, and laws for streaming and normalisation."""

import itertools
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.model import features as module
from ds2.model.features import FeatureConfig, FeatureStream, feed_together, log_spectrogram

DATA = Path(__file__).parents[3] / "shared" / "data"
CAUSAL = FeatureConfig(normalisation="causal")
CLIP = FeatureConfig(normalisation="clip")
both = pytest.mark.parametrize("config", [CAUSAL, CLIP], ids=lambda config: config.normalisation)
seeds = st.integers(0, 2**32 - 1)


def speechlike(seed: int, num_samples: int, level_db: float = -26.0) -> np.ndarray:
    """Noise whose level changes every 80 ms by up to 60 dB, as syllables and pauses do."""
    rng = np.random.default_rng(seed)
    levels_db = level_db - rng.choice([0, 5, 15, 60], num_samples // 1280 + 1)
    noise = rng.standard_normal(num_samples) * 10 ** (np.repeat(levels_db, 1280)[:num_samples] / 20)
    return noise.astype(np.float32)


def level_features(config: FeatureConfig, relative_db: float) -> float:
    """The feature of a bin whose power has this distance from the level."""
    power = 10 ** (relative_db / 10) + 10 ** (config.floor_db / 10)
    return (math.log(power) - config.mean_log_power) / config.deviation_log_power


def reference_spectrogram(waveform: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The same by the definitions: one frame, one bin, one step at a time, in float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)
    frames = []
    for start in range(0, len(waveform) - config.window + 1, config.stride):
        frame = window * waveform[start : start + config.window].astype(np.float64)
        turns = np.outer(np.arange(config.num_bins), np.arange(config.window)) / config.window
        frames.append(abs(np.exp(-2j * np.pi * turns) @ frame) ** 2 / np.sum(window**2))
    level = 10 ** (config.prior_level_db / 20)
    weight = config.prior_s * 1000 / config.stride_ms
    most_weight = config.memory_s * 1000 / config.stride_ms
    features = []
    for power in frames:
        if config.causal:
            amplitude = math.sqrt(np.mean(power))
            gated = level * 10 ** (config.gate_db / 20)
            share = amplitude**2 / (amplitude**2 + gated**2)
            weight = min(weight + share, most_weight)
            level += share / weight * (amplitude - level)
        else:
            level = math.sqrt(np.mean(waveform.astype(np.float64) ** 2))
        level = max(level, 10 ** (config.lowest_level_db / 20))
        log_power = np.log(power / level**2 + 10 ** (config.floor_db / 10))
        features.append((log_power - config.mean_log_power) / config.deviation_log_power)
    return np.array(features).reshape(-1, config.num_bins)


@both
@pytest.mark.parametrize("num_samples", [320, 4000, 16_000])
def test_features_are_those_of_the_definition(config: FeatureConfig, num_samples: int) -> None:
    waveform = speechlike(7, num_samples)
    expected = reference_spectrogram(waveform, config)
    np.testing.assert_allclose(log_spectrogram(waveform, config), expected, atol=2e-4)


@both
@given(num_samples=st.integers(0, 3000))
@settings(deadline=None, max_examples=50)
def test_there_is_a_frame_for_every_whole_window(config: FeatureConfig, num_samples: int) -> None:
    features = log_spectrogram(np.zeros(num_samples, np.float32), config)
    expected = 0 if num_samples < 320 else 1 + (num_samples - 320) // 160
    assert features.shape == (expected, 161)
    assert features.dtype == np.float32


@pytest.mark.parametrize("hz", [100, 1000, 3400, 7950])
def test_a_sine_stands_in_its_bin(hz: int) -> None:
    waveform = np.sin(2 * np.pi * hz / 16_000 * np.arange(16_000)).astype(np.float32)
    features = log_spectrogram(waveform, CLIP)
    assert set(features.argmax(axis=1)) == {hz // 50}
    # A sine of unit power puts window / 2 / (mean square / mean^2 of a Hann window) in its bin.
    expected = level_features(CLIP, 10 * math.log10(320 / 2 * 2 / 3))
    assert features.max() == pytest.approx(expected, abs=1e-3)


def test_the_bins_hold_the_power_of_the_windowed_frame() -> None:
    waveform = np.random.default_rng(3).standard_normal(320).astype(np.float32)
    config = FeatureConfig(normalisation="clip", floor_db=-300)
    log_power = log_spectrogram(waveform, config)[0].astype(np.float64)
    log_power = log_power * config.deviation_log_power + config.mean_log_power
    twice = np.r_[1, np.full(159, 2), 1]  # every bin but the outer two stands for a pair
    in_bins = np.sum(twice * np.exp(log_power)) * np.mean(waveform.astype(np.float64) ** 2) / 320
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(320) / 320)
    in_samples = np.sum((window * waveform) ** 2) / np.sum(window**2)
    assert in_bins == pytest.approx(in_samples, rel=1e-4)


@both
@given(seed=seeds, sizes=st.lists(st.integers(0, 4000), max_size=8), block=st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_any_cutting_gives_the_whole_bit_for_bit(
    config: FeatureConfig, seed: int, sizes: list[int], block: int
) -> None:
    waveform = speechlike(seed, 12_000)
    whole = log_spectrogram(waveform, config)
    stream = FeatureStream(config)
    cuts = [0, *itertools.accumulate(sizes), len(waveform)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_FRAMES", block)  # the inner blocks' size must not matter
        pieces = [stream.feed(waveform[start:end]) for start, end in itertools.pairwise(cuts)]
        pieces.append(stream.finish())
    assert np.array_equal(np.concatenate(pieces), whole)


@both
@given(sizes=st.lists(st.lists(st.integers(0, 9000), min_size=3, max_size=3), max_size=6))
@settings(deadline=None, max_examples=30)
def test_streams_fed_together_give_what_each_gives_alone(
    config: FeatureConfig, sizes: list[list[int]]
) -> None:
    together, alone = ([FeatureStream(config) for _ in range(3)] for _ in range(2))
    for turn, counts in enumerate(sizes):
        waveforms = [speechlike(10 * turn + index, n) for index, n in enumerate(counts)]
        fed = feed_together(together, waveforms)
        for frames, stream, waveform in zip(fed, alone, waveforms, strict=True):
            assert np.array_equal(frames, stream.feed(waveform))
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.finish(), other.finish())


def test_to_feed_no_stream_gives_nothing() -> None:
    assert feed_together([], []) == []


@both
@pytest.mark.parametrize("size", [1, 7, 320, 3200])
def test_a_stream_fed_in_equal_pieces_gives_the_whole(config: FeatureConfig, size: int) -> None:
    waveform = speechlike(5, 32_000)
    stream = FeatureStream(config)
    pieces = [stream.feed(waveform[at : at + size]) for at in range(0, len(waveform), size)]
    last = stream.finish()
    assert (len(last) == 0) == config.causal
    assert np.array_equal(np.concatenate([*pieces, last]), log_spectrogram(waveform, config))


@pytest.mark.parametrize("seconds", [1, 30])
def test_a_causal_frame_leaves_with_its_last_sample(seconds: int) -> None:
    num_samples = 16_000 * seconds
    stream = FeatureStream(CAUSAL)
    assert len(stream.feed(speechlike(1, num_samples))) == CAUSAL.num_frames(num_samples)


@given(seed=seeds, cut=st.integers(0, 12_000))
@settings(deadline=None, max_examples=50)
def test_what_comes_later_changes_no_earlier_causal_frame(seed: int, cut: int) -> None:
    waveform = speechlike(seed, 12_000)
    other = waveform.copy()
    other[cut:] = 1.0
    sooner = CAUSAL.num_frames(cut)
    assert np.array_equal(
        log_spectrogram(waveform, CAUSAL)[:sooner], log_spectrogram(other, CAUSAL)[:sooner]
    )


@given(seed=seeds, gain_db=st.floats(-30, 30))
@settings(deadline=None, max_examples=30)
def test_gain_does_not_change_features_by_clip(seed: int, gain_db: float) -> None:
    waveform = speechlike(seed, 12_000)
    louder = waveform * np.float32(10 ** (gain_db / 20))
    np.testing.assert_allclose(
        log_spectrogram(waveform, CLIP), log_spectrogram(louder, CLIP), atol=1e-4
    )


@given(seed=seeds, gain_db=st.floats(-15, 20))
@settings(deadline=None, max_examples=20)
def test_gain_is_forgotten_by_causal_features(seed: int, gain_db: float) -> None:
    waveform = speechlike(seed, 16_000 * 12)
    louder = waveform * np.float32(10 ** (gain_db / 20))
    difference = abs(log_spectrogram(waveform, CAUSAL) - log_spectrogram(louder, CAUSAL))
    half_db = 0.5 / (10 / math.log(10)) / CAUSAL.deviation_log_power
    assert difference[-100:].max() < half_db


def test_a_minute_of_pause_is_not_pumped_up_to_speech() -> None:
    noise = speechlike(1, 60 * 16_000, level_db=-300)
    noise += np.random.default_rng(2).standard_normal(len(noise)).astype(np.float32) * 10**-3.5
    speech = np.random.default_rng(3).standard_normal(16_000).astype(np.float32) * 10**-1.3
    features = log_spectrogram(np.concatenate([speech, noise]), CAUSAL)
    # The noise lies 44 dB below speech and may come up by no more than 6 dB.
    assert features[-100:].mean() < level_features(CAUSAL, -44 + 6)


@both
def test_silence_gives_the_features_of_the_floor(config: FeatureConfig) -> None:
    features = log_spectrogram(np.zeros(160_000, np.float32), config)
    np.testing.assert_allclose(features, level_features(config, -300), rtol=1e-5)


@both
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 4321, 9999])
def test_samples_that_are_not_numbers_are_refused(
    config: FeatureConfig, value: float, at: int
) -> None:
    waveform = speechlike(1, 10_000)
    waveform[at] = value
    with pytest.raises(ValueError, match="NaN"):
        log_spectrogram(waveform, config)


@pytest.mark.parametrize("waveform", [np.zeros((2, 400), np.float32), np.zeros(400, np.int16)])
def test_what_is_no_waveform_is_refused(waveform: np.ndarray) -> None:
    with pytest.raises(ValueError, match="waveform"):
        log_spectrogram(waveform, CAUSAL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("normalisation", "utterance"),
        ("sample_rate_hz", 0),
        ("stride_ms", 0.0),
        ("stride_ms", float("nan")),
        ("window_ms", 5.0),
        ("floor_db", float("inf")),
        ("deviation_log_power", 0.0),
        ("prior_s", 0.0),
        ("memory_s", 0.01),
    ],
)
def test_an_impossible_setting_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        FeatureConfig(**{name: value})  # type: ignore[arg-type]


def test_other_rates_and_windows_follow_from_the_settings() -> None:
    config = FeatureConfig(sample_rate_hz=8000, window_ms=25)
    assert (config.window, config.stride, config.num_bins) == (200, 80, 101)
    assert log_spectrogram(np.zeros(8000, np.float32), config).shape == (98, 101)


@pytest.mark.slow
def test_an_hour_takes_little_memory_beyond_its_features() -> None:
    waveform = speechlike(1, 16_000 * 60)
    waveform = np.tile(waveform, 10)  # ten minutes show it as well
    tracemalloc.start()
    try:
        features = log_spectrogram(waveform, CAUSAL)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < features.nbytes + 4e6


def test_a_caller_may_reuse_its_buffer() -> None:
    waveform = speechlike(9, 16_000)
    for config in (CAUSAL, CLIP):
        stream, buffer, pieces = FeatureStream(config), np.empty(1000, np.float32), []
        for start in range(0, len(waveform), 1000):
            buffer[:] = waveform[start : start + 1000]
            pieces.append(stream.feed(buffer))
        pieces.append(stream.finish())
        assert np.array_equal(np.concatenate(pieces), log_spectrogram(waveform, config))


@both
@pytest.mark.parametrize("pack", ["en-dev", "zh-dev"])
def test_features_of_real_speech_are_about_zero_mean_and_unit_variance(
    config: FeatureConfig, pack: str
) -> None:
    clips = sorted((DATA / pack / "clips").rglob("*.opus"))[::8]
    if not clips:
        pytest.skip("the speech packs are not here")
    soundfile = pytest.importorskip("soundfile")
    features = np.concatenate(
        [log_spectrogram(soundfile.read(clip, dtype="float32")[0], config) for clip in clips]
    )
    assert abs(features.mean()) < 0.4
    assert 0.85 < features.std() < 1.15
