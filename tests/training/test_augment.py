"""Augmentation: the measured effect of each change, and what it must not change."""

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.audio import write_wav
from ds2.errors import InputError
from ds2.settings import settings_from, settings_to_dict
from ds2.training.augment import (
    AugmentationConfig,
    Augmenter,
    Changes,
    NoiseBank,
    SpeedPlan,
    augmentation_rng,
    draw_masks,
    length_at_speed,
    room_tail,
)
from ds2.training.changes import (
    change_features,
    change_speed,
    change_waveform,
    limit_band,
    mix_noise,
    reverberate,
    warp,
)

PROBABILITIES = [field.name for field in fields(AugmentationConfig) if "probability" in field.name]
OFF = AugmentationConfig(**dict.fromkeys(PROBABILITIES, 0.0))  # type: ignore[arg-type]
ALL = AugmentationConfig(**dict.fromkeys(PROBABILITIES, 1.0))  # type: ignore[arg-type]


def augmented(waveform: np.ndarray, augmenter: Augmenter, rng: np.random.Generator) -> np.ndarray:
    changed: np.ndarray = change_waveform(waveform, augmenter.draw(len(waveform), rng))
    return changed


def masked_features(
    features: np.ndarray, rng: np.random.Generator, config: AugmentationConfig
) -> np.ndarray:
    times, frequencies = draw_masks(features.shape[0], features.shape[1], rng, config)
    return change_features(features, Changes(time_masks=times, frequency_masks=frequencies))


def white(num_samples: int, level_db: float = -26.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(num_samples) * 10 ** (level_db / 20)
    return noise.astype(np.float32)


def power_db(waveform: np.ndarray) -> float:
    return 10 * math.log10(np.mean(waveform.astype(np.float64) ** 2))


def sine(hz: float, num_samples: int = 16_000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz / 16_000 * np.arange(num_samples))).astype(np.float32)


@pytest.fixture
def bank(tmp_path: Path) -> NoiseBank:
    """Two recordings, shorter and longer than most utterances here."""
    for index, num_samples in enumerate([3000, 100_000]):
        write_wav(tmp_path / f"{index}.wav", white(num_samples, seed=index))
    return NoiseBank(sorted(tmp_path.glob("*.wav")))


def test_with_everything_off_the_very_input_comes_back(bank: NoiseBank) -> None:
    waveform = white(16_000) * 100  # even beyond full scale
    assert augmented(waveform, Augmenter(OFF, bank), augmentation_rng(0, 0, 0)) is waveform
    features = np.ones((50, 161), np.float32)
    assert masked_features(features, augmentation_rng(0, 0, 0), OFF) is features


@pytest.mark.parametrize("config", [AugmentationConfig(), ALL])
def test_the_input_is_never_altered(bank: NoiseBank, config: AugmentationConfig) -> None:
    waveform, features = white(16_000), np.ones((50, 161), np.float32)
    for index in range(20):
        augmented(waveform, Augmenter(config, bank), augmentation_rng(0, 0, index))
        masked_features(features, augmentation_rng(0, 0, index), config)
    assert np.array_equal(waveform, white(16_000))
    assert (features == 1).all()


def test_seed_epoch_and_utterance_decide_everything(bank: NoiseBank) -> None:
    waveform, augmenter = white(16_000), Augmenter(ALL, bank)

    def changed(*key: int) -> bytes:
        return augmented(waveform, augmenter, augmentation_rng(*key)).tobytes()

    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    first = [changed(*key) for key in keys]
    assert len(set(first)) == len(keys)
    assert [changed(*key) for key in reversed(keys)] == first[::-1]


def test_what_a_bank_gives_does_not_hang_on_what_it_keeps(bank: NoiseBank) -> None:
    forgetful = NoiseBank(bank._paths, cache_mb=0)
    for index in range(10):
        expected = forgetful.draw(5000, augmentation_rng(0, 0, index))
        assert np.array_equal(bank.draw(5000, augmentation_rng(0, 0, index)), expected)
    assert not forgetful._cache
    assert len(bank._cache) == len(bank) == 2


@pytest.mark.parametrize("num_samples", [0, 1, 2999, 3000, 3001, 7000])
def test_short_noise_is_begun_again_where_it_ends(tmp_path: Path, num_samples: int) -> None:
    ramp = np.linspace(-0.9, 0.9, 3000, dtype=np.float32)
    write_wav(tmp_path / "ramp.wav", ramp)
    noise = NoiseBank([tmp_path / "ramp.wav"]).draw(num_samples, np.random.default_rng(1))
    assert noise.shape == (num_samples,)
    steps = np.diff(noise)
    assert (steps > 0).sum() >= len(steps) - 1 - num_samples // 3000  # a fall only at each seam


def test_an_unreadable_recording_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    write_wav(tmp_path / "good.wav", white(3000))
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    bank = NoiseBank([tmp_path / "bad.wav", tmp_path / "good.wav"])
    with pytest.warns(UserWarning, match=r"bad\.wav"):
        drawn = [bank.draw(100, augmentation_rng(0, 0, index)) for index in range(10)]
    assert all(np.any(noise) for noise in drawn)
    with pytest.raises(InputError, match=r"bad\.wav"):
        NoiseBank([tmp_path / "bad.wav"]).draw(100, augmentation_rng(0, 0, 0))


def test_a_bank_without_recordings_is_refused() -> None:
    with pytest.raises(ValueError, match="recording"):
        NoiseBank([])


@given(snr_db=st.floats(0, 30), level_db=st.floats(-60, -10), noise_db=st.floats(-60, -10))
@settings(deadline=None, max_examples=30)
def test_noise_stands_at_the_ratio_asked_for(
    snr_db: float, level_db: float, noise_db: float
) -> None:
    waveform, noise = white(8000, level_db), white(8000, noise_db, seed=1)
    added = mix_noise(waveform, noise, snr_db) - waveform
    assert power_db(waveform) - power_db(added) == pytest.approx(snr_db, abs=0.05)


def test_noise_is_mixed_into_as_many_utterances_as_asked(bank: NoiseBank) -> None:
    config = settings_from(
        AugmentationConfig, settings_to_dict(OFF) | {"noise_probability": 0.4}, "test"
    )
    waveform, augmenter = white(1000), Augmenter(config, bank)
    changed = [
        augmented(waveform, augmenter, augmentation_rng(0, 0, i)) is not waveform
        for i in range(1000)
    ]
    assert 0.35 < np.mean(changed) < 0.45


def test_without_a_bank_nothing_is_mixed_in() -> None:
    config = settings_from(
        AugmentationConfig, settings_to_dict(OFF) | {"noise_probability": 1.0}, "test"
    )
    waveform = white(1000)
    assert augmented(waveform, Augmenter(config), augmentation_rng(0, 0, 0)) is waveform


@given(percent=st.integers(50, 200), num_samples=st.integers(1, 20_000))
@settings(deadline=None, max_examples=50)
def test_speed_divides_the_length(percent: int, num_samples: int) -> None:
    changed = change_speed(white(num_samples), percent)
    assert len(changed) == length_at_speed(num_samples, percent)
    assert abs(len(changed) - num_samples * 100 / percent) < 1
    assert changed.dtype == np.float32


@pytest.mark.parametrize("percent", [50, 87, 93, 107, 113, 200])
@pytest.mark.parametrize("hz", [100.0, 1000.0, 3000.0])
def test_speed_gives_the_very_tone_a_faster_player_would(percent: int, hz: float) -> None:
    changed = change_speed(sine(hz, 32_000), percent)
    expected = sine(hz * percent / 100, len(changed))
    np.testing.assert_allclose(changed[500:-500], expected[500:-500], atol=2e-3)


def test_what_a_faster_player_would_raise_beyond_hearing_is_gone() -> None:
    assert power_db(change_speed(sine(7600, 32_000), 112)[500:-500]) < -60


def test_a_plan_of_speeds_is_drawn_as_asked_and_anew_in_each_epoch() -> None:
    plan = SpeedPlan(AugmentationConfig(speed_probability=0.5), 0, 10_000)
    first = plan.percents(0).copy()
    assert 0.4 < np.mean(first != 100) < 0.55  # 100 % is drawn, too
    assert (first.min(), first.max()) == (90, 110)
    assert not np.array_equal(plan.percents(1), first)
    assert np.array_equal(plan.percents(0), first)


def test_speed_raises_the_pitch() -> None:
    changed = change_speed(sine(1000, 32_000), 110)
    spectrum = np.abs(np.fft.rfft(changed[2000:18_000]))
    assert spectrum.argmax() == pytest.approx(1100, abs=2)


def test_a_room_keeps_the_direct_sound_in_place_and_adds_its_share() -> None:
    impulse = np.zeros(16_000, np.float32)
    impulse[1000] = 1.0
    response = reverberate(impulse, room_tail(0.3, 6.0, np.random.default_rng(0)))
    assert np.abs(response[:1000]).max() < 1e-6
    assert response[1000] == pytest.approx(1.0, abs=1e-5)
    tail = response[1001:].astype(np.float64)
    assert -10 * math.log10(np.sum(tail**2)) == pytest.approx(6.0, abs=0.05)
    # 60 dB in 0.3 s is 20 dB in 0.1 s.
    first, later = tail[:800], tail[1600:2400]
    assert power_db(first) - power_db(later) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("hz", "kept"), [(100, False), (320, True), (1000, True), (3300, True), (3700, False)]
)
def test_the_telephone_keeps_its_band(hz: float, kept: bool) -> None:
    waveform = sine(hz)
    limited = limit_band(waveform, *AugmentationConfig().telephone_hz)
    inner = slice(2000, -2000)
    if kept:
        np.testing.assert_allclose(limited[inner], waveform[inner], atol=0.01)
    else:
        assert power_db(limited[inner]) < power_db(waveform) - 30


def test_a_low_pass_leaves_what_is_below_and_no_delay() -> None:
    waveform = sine(500) + sine(6000)
    limited = limit_band(waveform, 0.0, 4000.0)
    np.testing.assert_allclose(limited[1000:-1000], sine(500)[1000:-1000], atol=0.01)


def test_what_exceeds_full_scale_is_turned_down_not_clipped(bank: NoiseBank) -> None:
    louder = {"gain_probability": 1.0, "gain_db": [12.0, 12.0]}
    config = settings_from(AugmentationConfig, settings_to_dict(OFF) | louder, "test")
    waveform = sine(440)
    changed = augmented(waveform, Augmenter(config, bank), augmentation_rng(0, 0, 0))
    assert np.abs(changed).max() == pytest.approx(1.0)
    np.testing.assert_allclose(changed, waveform / np.abs(waveform).max(), atol=1e-6)
    quiet = augmented(waveform / 10, Augmenter(config, bank), augmentation_rng(0, 0, 0))
    np.testing.assert_allclose(quiet, waveform / 10 * 10**0.6, rtol=1e-5)


@given(num_samples=st.integers(0, 700), silent=st.booleans(), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_silence_and_scraps_stay_finite(num_samples: int, silent: bool, seed: int) -> None:
    waveform = np.zeros(num_samples, np.float32) if silent else white(num_samples, -1)
    rng = np.random.default_rng(seed)
    changed = augmented(waveform, Augmenter(ALL), rng)
    changed = mix_noise(changed, white(len(changed), seed=seed), 10.0)
    changed = mix_noise(changed, np.zeros_like(changed), 10.0)
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert not (silent and np.any(changed))
    assert len(changed) <= num_samples / 0.9 + 2
    features = np.ones((num_samples // 100, 161), np.float32)
    assert masked_features(features, rng, ALL).shape == features.shape


def test_every_change_together_gives_a_waveform(bank: NoiseBank) -> None:
    augmenter = Augmenter(ALL, bank)
    for index in range(10):
        changed = augmented(white(20_000), augmenter, augmentation_rng(3, 0, index))
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert np.abs(changed).max() <= 1
        assert 20_000 / 1.11 < len(changed) < 20_000 / 0.89


@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(1, 800))
@settings(deadline=None, max_examples=60)
def test_masks_are_stretches_within_their_limits(seed: int, num_frames: int) -> None:
    config = AugmentationConfig(mask_probability=1.0, num_time_masks=1, num_frequency_masks=1)
    features = np.random.default_rng(0).standard_normal((num_frames, 161)).astype(np.float32)
    masked = masked_features(features, np.random.default_rng(seed), config)
    frames = np.flatnonzero((masked == 0).all(axis=1))
    bins = np.flatnonzero((masked == 0).all(axis=0))
    assert len(frames) <= min(config.time_mask_frames, config.time_mask_share * num_frames)
    assert len(bins) <= config.frequency_mask_bins
    for masked_indices in (frames, bins):
        assert (np.diff(masked_indices) == 1).all()
    kept = masked != 0
    assert np.array_equal(masked[kept], features[kept])
    assert kept.sum() == (num_frames - len(frames)) * (161 - len(bins))


def test_masks_reach_everywhere_and_every_width() -> None:
    config = AugmentationConfig(num_time_masks=1, num_frequency_masks=1, frequency_mask_bins=10)
    features = np.ones((400, 161), np.float32)
    hits, widths = np.zeros(161), set()
    for seed in range(400):
        bins = (masked_features(features, np.random.default_rng(seed), config) == 0).all(axis=0)
        hits += bins
        widths.add(int(bins.sum()))
    assert hits.min() > 0
    assert widths == set(range(11))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noise_probability", 1.5),
        ("gain_probability", -0.1),
        ("mask_probability", math.nan),
        ("noise_snr_db", (30.0, 0.0)),
        ("gain_db", (0.0, math.nan)),
        ("speed_factor", (0.0, 1.0)),
        ("speed_factor", (1.0, 3.0)),
        ("reverberation_s", (0.0, 0.5)),
        ("lowpass_hz", (3000.0, 9000.0)),
        ("telephone_hz", (-1.0, 3000.0)),
        ("num_time_masks", -1),
        ("time_mask_frames", -1),
        ("frequency_mask_bins", -1),
        ("time_mask_share", 1.5),
    ],
)
def test_an_impossible_setting_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        AugmentationConfig(**{name: value})  # type: ignore[arg-type]


def test_settings_survive_a_file() -> None:
    assert settings_from(AugmentationConfig, settings_to_dict(ALL), "test") == ALL


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.0, 1.1, 1.25])
def test_a_shorter_vocal_tract_moves_resonances_up(factor: float) -> None:
    bins = np.arange(161, dtype=np.float32)
    features = np.exp(-(((bins - 60) / 4) ** 2))[None].astype(np.float32)
    warped = warp(features, factor)
    assert warped.argmax() == pytest.approx(60 * factor, abs=1)
    ramp = np.tile(bins, (3, 1))
    assert (np.diff(warp(ramp, factor), axis=1) > 0).all()  # no frequency overtakes another
    np.testing.assert_allclose(warp(ramp, factor)[:, [0, -1]], ramp[:, [0, -1]], atol=1e-4)
    np.testing.assert_allclose(warp(ramp, factor)[0, 100], 100 / factor, rtol=1e-5)
