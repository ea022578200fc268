"""Recordings with several channels: mixed, one alone, each separately, or cancelling each other."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ds2.audio import DownMix, SampleIntake, array_blocks, audio_blocks, pcm_blocks, read_audio
from ds2.audio.channels import ChannelChoice, Channels
from ds2.errors import InputError

RATE = 16_000


def noise(seed: int, num_samples: int = 3 * RATE) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def write(path: Path, *channels: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, np.stack(channels, axis=1), rate, subtype="FLOAT")
    return path


def joined(path: Path, channels: Channels, block_s: float = 30.0) -> np.ndarray:
    return np.concatenate(list(audio_blocks(path, channels=channels, block_s=block_s)))


def test_each_channel_apart_is_that_channel_alone(tmp_path: Path) -> None:
    for rate in (RATE, 44_100):
        path = write(tmp_path / "a.wav", noise(0), noise(1), noise(2), rate=rate)
        apart = joined(path, "split")
        assert apart.shape[1] == 3
        for number in (1, 2, 3):
            assert np.array_equal(joined(path, number), apart[:, number - 1])
        assert np.array_equal(joined(path, "split", block_s=0.037), apart)


def test_the_mix_is_the_mean(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(0), noise(1))
    assert np.abs(read_audio(path) - (noise(0) + noise(1)) / 2).max() < 1e-6
    assert np.array_equal(read_audio(path), joined(path, "mix"))


def test_a_channel_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(0))
    with pytest.raises(InputError, match=r"a\.wav: has 1 channel: there is no channel 2"):
        joined(path, 2)
    for wrong in (0, -1, True, "left"):
        with pytest.raises(InputError, match="channels: must be"):
            joined(path, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("gain", [1.0, 0.9])
def test_channels_of_opposite_sign_leave_the_louder_one(
    tmp_path: Path, gain: float, caplog: pytest.LogCaptureFixture
) -> None:
    silence = np.zeros(RATE, np.float32)
    loud = np.concatenate([silence, noise(0)])
    path = write(tmp_path / "a.wav", -gain * loud, loud)
    with caplog.at_level(logging.WARNING, "ds2.audio"):
        heard = read_audio(path)
    assert np.array_equal(heard, -loud if gain == 1 else loud)
    assert len(caplog.records) == 1
    number = 1 if gain == 1 else 2
    assert caplog.records[0].getMessage() == (
        f"{path}: its channels have opposite signs and cancel each other in the mix: "
        f"using channel {number} only"
    )


def test_other_channels_are_mixed_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Recordings: a silent channel, two equal channels, a voice on each, a voice on one of six."""
    zero = np.zeros(3 * RATE, np.float32)
    turns = np.where(np.arange(3 * RATE) < RATE, 1, 0).astype(np.float32)
    for channels in (
        (noise(0), zero),
        (noise(0), noise(0)),
        (noise(0) * turns, noise(1) * (1 - turns)),
        (noise(0), -0.5 * noise(0)),
        (zero, zero, noise(0), zero, zero, zero),
        (zero, zero),
    ):
        path = write(tmp_path / "a.wav", *channels)
        assert np.abs(read_audio(path) - np.mean(channels, axis=0)).max() < 1e-6
    assert not caplog.records


def test_samples_in_memory_and_without_a_header_have_channels_too() -> None:
    frames = np.stack([noise(0), -noise(0)], axis=1)
    assert np.array_equal(SampleIntake().feed(frames), noise(0))
    assert np.array_equal(np.concatenate(list(array_blocks(frames, channels=2))), -noise(0))
    apart = np.concatenate(list(array_blocks(frames, channels="split")))
    assert np.array_equal(apart, frames)
    raw = np.concatenate(
        list(
            pcm_blocks(
                io.BytesIO(frames.tobytes()),
                sample_rate_hz=RATE,
                num_channels=2,
                encoding="f32le",
                channels="split",
            )
        )
    )
    assert np.array_equal(raw, frames)
    assert next(array_blocks(np.empty((0, 2)), channels="split")).shape == (0, 2)


def test_a_number_of_channels_that_changes_does_no_harm() -> None:
    one, two = noise(0)[:, np.newaxis], np.stack([noise(0), noise(1)], axis=1)
    mix = DownMix("a")
    for frames in (two, one, two, np.concatenate([two, two], axis=1)):
        assert np.allclose(mix.feed(frames), frames.mean(axis=1))
    split = ChannelChoice("split", "a.aac")
    split.feed(one)
    with pytest.raises(InputError, match=r"a\.aac: changes from 1 to 2 channels"):
        split.feed(two)
