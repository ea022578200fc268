"""Samples in memory of any type and shape give the same, or are refused with a remedy."""

import numpy as np
import pytest

from ds2.audio import SampleIntake, mono_of
from ds2.errors import InputError

TONE = (0.5 * np.sin(np.arange(4_000) / 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "tolerance"),
    [
        (TONE, 0),
        (TONE.astype(np.float64), 0),
        (TONE.tolist(), 1e-7),
        ((TONE * 2**15).astype(np.int16), 2**-15),
        ((TONE.astype(np.float64) * 2**31).astype(np.int32), 2**-24),
        ((TONE * 128 + 128).astype(np.uint8), 2**-6),
        (np.stack([TONE, TONE], axis=1), 0),
        (np.stack([2 * TONE, np.zeros_like(TONE)], axis=1), 1e-7),
        (TONE[:, np.newaxis], 0),
    ],
    ids=["float32", "float64", "list", "int16", "int32", "uint8", "stereo", "left", "(N, 1)"],
)
def test_samples_of_any_kind_are_the_same_waveform(samples: object, tolerance: float) -> None:
    waveform = mono_of(samples)
    assert waveform.dtype == np.float32
    assert waveform.shape == TONE.shape
    assert np.abs(waveform - TONE).max() <= tolerance


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 4_000), np.float32), r"shape \(2, 4000\).*give samples\.T"),
        (np.zeros((2, 2, 2), np.float32), r"shape \(2, 2, 2\): give \(N,\)"),
        (np.float32(1), r"shape \(\)"),
        ([0, 1000, -1000], "are int64, which has no known full scale"),
        (np.zeros(10, bool), "are bool"),
        (np.zeros(10, np.complex64), "are complex64"),
        ([[0.1], [0.1, 0.2]], "numpy cannot make an array of them"),
        (np.array(["a"]), "are <U1"),
    ],
    ids=str,
)
def test_what_is_no_waveform_is_refused_with_what_to_do(samples: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mono_of(samples)


def test_loud_and_broken_samples_are_refused_with_their_place() -> None:
    intake = SampleIntake(8_000)
    intake.feed(np.zeros(8_000, np.float32))
    with pytest.raises(InputError, match=r"the sample at 1\.500 s is 20000: .*scale them"):
        intake.feed(np.append(np.zeros(4_000), 20_000.0))
    with pytest.raises(InputError, match="not sound"):
        intake.feed([float("nan")])


@pytest.mark.parametrize("rate", [0, 1, 10**9])
def test_rates_that_no_recording_has_are_refused(rate: int) -> None:
    with pytest.raises(InputError, match=f"sample rate of {rate} Hz"):
        SampleIntake(rate)


def test_no_samples_are_no_fault() -> None:
    assert len(mono_of([])) == 0
