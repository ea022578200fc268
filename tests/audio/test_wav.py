"""ds2 reads WAV files with wrong lengths and joined ones to their end, or says what it left out."""

import io
import logging
import struct
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from aids.films import wav
from aids.fuzzing import few
from aids.pipes import Pipe
from ds2.audio import pcm_blocks, probe_audio, read_audio
from ds2.errors import InputError

SAMPLES = (np.arange(16_000) % 2_000 - 1_000).astype(np.int16)
EXPECTED = SAMPLES / np.float32(32768)
CHUNK = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf59.27.100\0"
UNKNOWN = 0xFFFFFFFF


def long_lengths(size: int) -> bytes:
    return struct.pack("<QQQI", size, size, 0, 0)


LONG = wav(SAMPLES, told=UNKNOWN, long=long_lengths(32_000))
WHOLE = {
    "as it should be": (wav(SAMPLES, after=CHUNK), 1, ""),
    "length 36": (wav(SAMPLES, told=36), 1, "ds2 reads all of it"),
    "lengths 36 and 72": (wav(SAMPLES, told=36, riff=72), 1, "ds2 reads all of it"),
    "half the length": (wav(SAMPLES, told=16_000), 1, "ds2 reads all of it"),
    "lengths of 0": (wav(SAMPLES, told=0, riff=0), 1, ""),
    "no lengths": (wav(SAMPLES, told=UNKNOWN, riff=UNKNOWN), 1, ""),
    "RF64": (LONG, 1, ""),
    "RF64 of a pipe": (wav(SAMPLES, told=UNKNOWN, long=long_lengths(0)), 1, ""),
    "RF64 of another": (wav(SAMPLES, told=UNKNOWN, long=long_lengths((1 << 64) - 1)), 1, ""),
    "two": (wav(SAMPLES) * 2, 2, "recordings follow one another"),
    "three with chunks": (wav(SAMPLES, after=CHUNK) * 3, 3, "recordings follow one another"),
    "two RF64": (LONG * 2, 2, "recordings follow one another"),
    "another form": (wav(SAMPLES) + wav(SAMPLES, num_channels=2), 1, "leaves it out"),
    "a tag of MP3": (wav(SAMPLES, after=b"TAG" + bytes(125)), 1, ""),
    "half a chunk": (wav(SAMPLES, after=CHUNK[:20]), 1, ""),
}


@pytest.mark.parametrize("make", [bytes, Pipe])
@pytest.mark.parametrize("kind", WHOLE)
def test_all_samples_are_read_or_it_is_told(
    kind: str, make: Callable[[bytes], object], caplog: pytest.LogCaptureFixture
) -> None:
    data, times, told = WHOLE[kind]
    with caplog.at_level(logging.WARNING, "ds2.audio"):
        waveform = read_audio(make(data))
    assert np.array_equal(waveform, np.tile(EXPECTED, times))
    assert [told in message for message in caplog.messages] == ([True] if told else [])


def test_the_length_of_a_joined_file_is_that_of_all() -> None:
    assert probe_audio(wav(SAMPLES) * 2).duration_s == 2
    assert np.array_equal(read_audio(wav(SAMPLES) * 2, offset_s=1.5), EXPECTED[8_000:])


def test_a_wav_file_cut_off_in_a_pipe_is_refused() -> None:
    with pytest.raises(InputError, match=r"truncated or damaged: 1.00 s of 2.00 s"):
        read_audio(Pipe(wav(SAMPLES, told=64_000)))


def test_of_two_joined_flac_files_the_second_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, 16_000, format="FLAC")
    with caplog.at_level(logging.WARNING, "ds2.audio"):
        assert len(read_audio(file.getvalue() * 2)) == 16_000
    assert f"another recording follows in the file, from byte {len(file.getvalue())}" in caplog.text


@pytest.mark.parametrize(("encoding", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_the_telephones_samples_without_a_header_are_as_in_a_file(
    encoding: str, subtype: str, num_channels: int
) -> None:
    file = io.BytesIO()
    samples = np.stack([SAMPLES * 30, SAMPLES * -20], 1)[:, :num_channels]
    soundfile.write(file, samples, 8_000, format="RAW", subtype=subtype)
    raw = file.getvalue()
    wave = io.BytesIO()
    soundfile.write(wave, samples, 8_000, format="WAV", subtype=subtype)
    blocks = pcm_blocks(
        io.BytesIO(raw), sample_rate_hz=8_000, num_channels=num_channels, encoding=encoding
    )
    assert np.array_equal(np.concatenate(list(blocks)), read_audio(wave.getvalue()))


@few(60)
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 80), st.binary(min_size=1, max_size=4)), max_size=4),
    kept=st.just(1.0) | st.floats(0.001, 1),
)
def test_a_wav_file_with_wrong_bytes_is_read_or_refused(
    kind: str, changes: list[tuple[int, bytes]], kept: float
) -> None:
    data = bytearray(WHOLE[kind][0])
    data = data[: max(1, round(len(data) * kept))]
    for place, value in changes:
        data[place : place + len(value)] = value
    for source in (bytes(data), Pipe(bytes(data))):
        try:
            waveform = read_audio(source, duration_s=60)
        except InputError:
            continue
        assert 0 < len(waveform) <= 60 * 16_000 + 1
        assert np.abs(waveform).max() <= 1
