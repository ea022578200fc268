"""The resampler: any cuts of its input give the same output, and the output is right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.audio.resampling import Resampler, regrouped, resampled

RATES_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 44_099, 48_000, 96_000)


def noise(num_samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)


def pieces_of(waveform: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(waveform, sorted(cut % (len(waveform) + 1) for cut in cuts))


def through(resampler: Resampler, pieces: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([*(resampler.feed(piece) for piece in pieces), resampler.finish()])


@settings(deadline=None, max_examples=60)
@given(
    rate=st.sampled_from(RATES_HZ),
    num_samples=st.integers(0, 20_000),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
)
def test_any_cutting_gives_the_samples_of_the_whole_bitwise(
    rate: int, num_samples: int, cuts: list[int]
) -> None:
    waveform = noise(num_samples)
    whole = through(Resampler(rate), [waveform])
    cut = through(Resampler(rate), pieces_of(waveform, cuts))
    assert np.array_equal(whole, cut)
    assert abs(len(whole) - num_samples * 16_000 / rate) <= 1


def test_one_sample_at_a_time_gives_the_samples_of_the_whole_bitwise() -> None:
    waveform = noise(3_000)
    for rate in (8_000, 44_100):
        whole = through(Resampler(rate), [waveform])
        assert np.array_equal(whole, through(Resampler(rate), list(waveform[:, None])))


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_tone_keeps_its_frequency_phase_and_loudness(rate: int) -> None:
    def tone(rate_hz: int) -> np.ndarray:
        return np.sin(2 * np.pi * 1_000 * np.arange(rate_hz) / rate_hz).astype(np.float32)

    got, expected = through(Resampler(rate), [tone(rate)]), tone(16_000)
    inside = slice(800, -800)  # the filter rings at the ends, where the tone starts and stops
    assert np.abs(got[: len(expected)] - expected)[inside].max() < 1e-3


def test_what_lies_above_the_new_rates_reach_is_gone_not_folded_down() -> None:
    tone = np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(through(Resampler(48_000), [tone]))[800:-800].max() < 1e-4


def test_overshoots_are_clipped() -> None:
    square = np.sign(np.sin(np.arange(48_000) * 0.05)).astype(np.float32)
    joined = np.concatenate(list(resampled([square], 48_000)))
    assert np.abs(joined).max() == 1.0
    assert np.abs(through(Resampler(48_000), [square])).max() > 1.05


@settings(deadline=None)
@given(
    num_samples=st.integers(0, 100),
    cuts=st.lists(st.integers(0, 100), max_size=6),
    size=st.integers(1, 30),
)
def test_regrouping_keeps_every_sample_and_fills_every_piece_but_the_last(
    num_samples: int, cuts: list[int], size: int
) -> None:
    waveform = noise(num_samples)
    groups = list(regrouped(pieces_of(waveform, cuts), size))
    assert np.array_equal(np.concatenate([waveform[:0], *groups]), waveform)
    assert all(len(group) == size for group in groups[:-1])
    assert all(0 < len(group) <= size for group in groups[-1:])
