"""ds2 reads recordings of every kind, and refuses broken ones with one line that says why."""

import contextlib
import io
import json
import os
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.pipes import Pipe
from ds2.audio import (
    AudioInfo,
    audio_blocks,
    find_audio,
    pcm_blocks,
    probe_audio,
    read_audio,
    write_wav,
)
from ds2.errors import InputError

ROOT = Path(__file__).parents[2]
DURATION_S = 2.0


def sound(rate_hz: int, duration_s: float = DURATION_S) -> np.ndarray:
    """The same sound, 200 to 1500 Hz, (N,) float32, at any sample rate."""
    t = np.arange(round(rate_hz * duration_s)) / rate_hz
    sweep = 0.4 * np.sin(2 * np.pi * (200 + 150 * t) * t) * (0.6 + 0.4 * np.sin(9 * t))
    return (sweep + 0.1 * np.sin(2 * np.pi * 1_500 * t)).astype(np.float32)


def encode(path: Path, codec: str, rate_hz: int, container: str, video: bool = False) -> Path:
    """Write the sound through FFmpeg, in the formats that libsndfile cannot write."""
    frame = av.AudioFrame.from_ndarray(sound(rate_hz)[None], format="fltp", layout="mono")
    frame.sample_rate = rate_hz
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="mono")
        if video:
            add_picture(file)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def add_picture(file: av.container.OutputContainer) -> None:
    stream = file.add_stream("mpeg4", rate=24, width=32, height=32, pix_fmt="yuv420p")
    picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
    file.mux(stream.encode(picture))
    file.mux(stream.encode(None))


def wav_bytes(samples: np.ndarray, *, claims: int | None = None, **header: int) -> bytes:
    """A 16 kHz 16-bit WAV file, by hand; claims: the length in its header, in bytes."""
    body = samples.astype("<i2").tobytes()
    length = len(body) if claims is None else claims
    rate, channels = header.get("rate", 16_000), header.get("channels", 1)
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    riff_length = min(36 + length, 0xFFFFFFFF)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", riff_length, b"WAVE", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", length)
        + body
    )


def ramp(num_samples: int = 16_000) -> np.ndarray:
    return (np.arange(num_samples) % 2_000 - 1_000).astype(np.int16)


def signal_to_noise_db(got: np.ndarray, expected: np.ndarray) -> float:
    assert len(got) == len(expected)
    inside = slice(400, -400)  # the resampler rings where the sound starts and stops
    error = (got - expected)[inside] + 1e-12
    return float(10 * np.log10(np.mean(expected[inside] ** 2) / np.mean(error**2)))


def best_correlation(got: np.ndarray, expected: np.ndarray) -> float:
    """The correlation at the best alignment within 150 ms, the delay that codecs may add."""
    room = 2_400
    size = min(len(got), len(expected)) - 2 * room
    middle = expected[room : room + size].astype(np.float64)
    middle -= middle.mean()
    heard = got[: size + 2 * room - 1].astype(np.float64)
    until = np.cumsum(np.pad([heard, heard**2], ((0, 0), (1, 0))), axis=1)
    sums, squares = until[:, size:] - until[:, :-size]  # of every part that is as long
    spectrum = np.fft.rfft(heard) * np.fft.rfft(middle, len(heard)).conj()
    products = np.fft.irfft(spectrum, len(heard))[: len(sums)]
    norms = np.linalg.norm(middle) * np.sqrt(squares - sums**2 / size)
    return float((products / norms).max())


def problem_of(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


# What is read


@pytest.mark.parametrize(
    ("filename", "subtype", "at_least_db"),
    [
        ("a.wav", "PCM_U8", 30),
        ("a.wav", "PCM_16", 70),
        ("a.wav", "PCM_24", 90),
        ("a.wav", "PCM_32", 90),
        ("a.wav", "FLOAT", 90),
        ("a.wav", "DOUBLE", 90),
        ("a.wav", "ULAW", 25),
        ("a.wav", "IMA_ADPCM", 20),
        ("a.wav", "GSM610", 10),
        ("a.flac", "PCM_16", 70),
        ("a.flac", "PCM_24", 90),
        ("a.aiff", "PCM_16", 70),
        ("a.au", "PCM_16", 70),
        ("a.caf", "PCM_16", 70),
        ("a.w64", "PCM_16", 70),
        ("a.rf64", "PCM_16", 70),
        ("a.ogg", "VORBIS", 15),
    ],
)
def test_what_libsndfile_reads_is_read_as_well_as_its_encoding_allows(
    tmp_path: Path, filename: str, subtype: str, at_least_db: float
) -> None:
    soundfile.write(tmp_path / filename, sound(44_100), 44_100, subtype=subtype)
    waveform = read_audio(tmp_path / filename)
    assert waveform.dtype == np.float32
    expected = sound(16_000)
    assert 0 <= len(waveform) - len(expected) < 1_000  # block codecs fill their last block
    assert signal_to_noise_db(waveform[: len(expected)], expected) > at_least_db


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("num_channels", [1, 2, 6])
def test_every_rate_becomes_16_khz_and_channels_are_averaged(
    tmp_path: Path, rate: int, num_channels: int
) -> None:
    samples = np.zeros((round(rate * DURATION_S), num_channels), np.float32)
    samples[:, 0] = sound(rate)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    assert signal_to_noise_db(read_audio(path) * num_channels, sound(16_000)) > 90


@pytest.mark.slow
@pytest.mark.parametrize(
    ("filename", "codec", "rate", "container"),
    [
        ("a.mp3", "libmp3lame", 44_100, "mp3"),
        ("a.m4a", "aac", 44_100, "ipod"),
        ("a.mp4", "aac", 48_000, "mp4"),
        ("a.aac", "aac", 16_000, "adts"),
        ("a.wav", "libmp3lame", 44_100, "wav"),
        ("a.webm", "libopus", 48_000, "webm"),
        ("a.mka", "pcm_s16le", 22_050, "matroska"),
        ("a.opus", "libopus", 48_000, "ogg"),
    ],
)
def test_compressed_files_are_read(
    tmp_path: Path, filename: str, codec: str, rate: int, container: str
) -> None:
    waveform = read_audio(encode(tmp_path / filename, codec, rate, container))
    assert abs(len(waveform) / 16_000 - DURATION_S) < 0.15
    assert best_correlation(waveform, sound(16_000)) > 0.98


@pytest.mark.slow
def test_the_sound_of_a_video_is_read(tmp_path: Path) -> None:
    waveform = read_audio(encode(tmp_path / "a.mp4", "aac", 44_100, "mp4", video=True))
    assert best_correlation(waveform, sound(16_000)) > 0.98


def test_samples_at_16_khz_come_through_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(ramp()))
    assert np.array_equal(read_audio(tmp_path / "a.wav"), ramp() / np.float32(32768))


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    for filename in ("noextension", "a.raw", "a.mp3", "a.txt"):
        (tmp_path / filename).write_bytes(wav_bytes(ramp()))
        assert len(read_audio(tmp_path / filename)) == 16_000


def test_paths_bytes_and_open_files_are_read_alike(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", "aac", 44_100, "ipod")
    waveform = read_audio(path)
    data = path.read_bytes()
    assert np.array_equal(read_audio(str(path)), waveform)
    assert np.array_equal(read_audio(data), waveform)
    with path.open("rb") as file:
        assert np.array_equal(read_audio(file), waveform)
        assert not file.closed


@pytest.mark.parametrize(
    ("filename", "subtype"), [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.flac", "PCM_16")]
)
def test_a_pipe_gives_the_samples_of_the_file_bitwise(
    tmp_path: Path, filename: str, subtype: str
) -> None:
    path = tmp_path / filename
    soundfile.write(path, np.stack([sound(44_100), -0.5 * sound(44_100)], 1), 44_100, subtype)
    assert np.array_equal(read_audio(Pipe(path.read_bytes())), read_audio(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "container"),
    [("aac", "mp4"), ("libmp3lame", "mp3"), ("libopus", "webm"), ("libopus", "ogg")],
)
def test_compressed_files_are_read_from_a_pipe(tmp_path: Path, codec: str, container: str) -> None:
    path = encode(tmp_path / "a", codec, 48_000, container)
    waveform = read_audio(Pipe(path.read_bytes()))
    assert abs(len(waveform) / 16_000 - DURATION_S) < 0.15
    assert best_correlation(waveform, sound(16_000)) > 0.98


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_the_path_of_a_pipe_is_read() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, wav_bytes(ramp(), claims=0xFFFFFFFF))
    os.close(write_end)
    assert len(read_audio(f"/dev/fd/{read_end}")) == 16_000
    os.close(read_end)


@pytest.mark.parametrize("claims", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_wav_written_to_a_pipe_without_a_length_is_read_to_its_end(claims: int) -> None:
    data = wav_bytes(ramp(), claims=claims)
    expected = ramp() / np.float32(32768)
    assert np.array_equal(read_audio(data), expected)
    assert np.array_equal(read_audio(Pipe(data)), expected)


def test_flac_without_a_length_is_read_to_its_end() -> None:
    file = io.BytesIO()
    soundfile.write(file, ramp(), 16_000, format="FLAC")
    data = bytearray(file.getvalue())
    data[21] &= 0xF0  # the number of samples: 36 bits, 0 where unknown
    data[22:26] = bytes(4)
    assert probe_audio(bytes(data)).duration_s is None
    assert np.array_equal(read_audio(bytes(data)), ramp() / np.float32(32768))


def test_bad_packets_among_good_ones_are_passed_over(tmp_path: Path) -> None:
    data = bytearray(encode(tmp_path / "a.mp3", "libmp3lame", 44_100, "mp3").read_bytes())
    data[8_000:8_200] = bytes(200)
    assert abs(len(read_audio(bytes(data))) / 16_000 - DURATION_S) < 0.2


def test_float_samples_a_little_too_loud_are_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 3 * sound(16_000), 16_000, subtype="FLOAT")
    assert np.array_equal(read_audio(tmp_path / "a.wav"), np.clip(3 * sound(16_000), -1, 1))


def test_real_speech_is_read_as_its_library_reads_it() -> None:
    clips = sorted((ROOT.parent / "shared" / "data" / "en-test" / "clips").glob("*"))[:3]
    if not clips:
        pytest.skip("no real recordings here")
    for clip in clips:
        info = probe_audio(clip)
        waveform = read_audio(clip)
        assert info.duration_s is not None
        assert abs(len(waveform) / 16_000 - info.duration_s) < 0.01
        assert 0.01 < np.abs(waveform).max() <= 1


def test_the_sample_clips_are_what_their_manifest_says() -> None:
    lines = (ROOT / "samples" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["language"] for line in lines} == {"en", "zh"}
    for line in lines:
        fields = json.loads(line)
        waveform = read_audio(ROOT / "samples" / fields["audio_filepath"])
        assert abs(len(waveform) / 16_000 - fields["duration"]) < 0.001


# Parts and pieces


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a"])
def test_a_part_is_that_part_of_the_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "m4a":
        encode(path, "aac", 16_000, "ipod")
    else:
        soundfile.write(path, sound(16_000), 16_000)
    whole = read_audio(path)
    part = read_audio(path, offset_s=0.5, duration_s=0.75)
    assert np.array_equal(part, whole[8_000:20_000])
    assert np.array_equal(read_audio(path, offset_s=1.25), whole[20_000:])


def test_a_part_is_cut_at_the_rate_of_the_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(44_100), 44_100, subtype="FLOAT")
    part = read_audio(tmp_path / "a.wav", offset_s=0.5, duration_s=0.75)
    assert signal_to_noise_db(part, sound(16_000)[8_000:20_000]) > 80


def test_a_part_that_runs_past_the_end_stops_there() -> None:
    part = read_audio(wav_bytes(ramp()), offset_s=0.75, duration_s=10)
    assert np.array_equal(part, ramp()[12_000:] / np.float32(32768))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("recordings")
    stereo = np.stack([sound(44_100), -0.3 * sound(44_100)], 1)
    soundfile.write(directory / "a.flac", stereo, 44_100)
    soundfile.write(directory / "a.ogg", stereo, 44_100)
    encode(directory / "a.mp3", "libmp3lame", 22_050, "mp3")
    encode(directory / "a.webm", "libopus", 48_000, "webm")
    (directory / "a.wav").write_bytes(wav_bytes(ramp()))
    return {path.suffix: path for path in directory.iterdir()}


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from([".flac", ".ogg", ".mp3", ".webm"]),
    block_s=st.floats(0.01, 3),
    offset_s=st.floats(0, 1.5),
    duration_s=st.none() | st.floats(0.001, 3),
)
def test_blocks_joined_are_the_whole_bitwise(
    recordings: dict[str, Path],
    kind: str,
    block_s: float,
    offset_s: float,
    duration_s: float | None,
) -> None:
    path = recordings[kind]
    whole = read_audio(path, offset_s=offset_s, duration_s=duration_s)
    blocks = [
        *audio_blocks(path, offset_s=offset_s, duration_s=duration_s, block_s=block_s),
        whole[:0],
    ]
    assert np.array_equal(np.concatenate(blocks), whole)
    assert {len(block) for block in blocks[:-2]} <= {round(block_s * 16_000)}


@pytest.mark.slow
def test_memory_is_bounded_by_the_block_not_by_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "a quarter of an hour.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1) as file:
        for _ in range(15):
            file.write(np.zeros(60 * 8_000, np.int16))
    tracemalloc.start()
    num_samples = sum(len(block) for block in audio_blocks(path, block_s=10))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_samples == 900 * 16_000
    assert peak_bytes < 4 << 20  # the whole would be 58 MB


def test_a_pipe_is_read_as_it_fills() -> None:
    pipe = Pipe(wav_bytes(ramp(60 * 16_000), claims=0xFFFFFFFF))
    next(audio_blocks(pipe, block_s=0.1))
    assert pipe.num_read < 4 * 32_000  # some seconds; the whole is a minute


def test_more_than_twelve_hours_are_not_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds2.audio.reading.LONGEST_WHOLE_S", 0.5)
    assert problem_of(lambda: read_audio(wav_bytes(ramp()))) == (
        "the audio given: lasts over 12 hours: read it in parts"
    )


# What headers say


def test_probing_tells_what_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((22_050, 2)), 44_100, subtype="PCM_24")
    assert probe_audio(path) == AudioInfo(44_100, 2, 0.5, "WAV", "PCM_24")
    info = probe_audio(encode(tmp_path / "a.mp3", "libmp3lame", 44_100, "mp3"))
    assert info == AudioInfo(44_100, 1, DURATION_S, "MP3", "mp3")
    info = probe_audio(encode(tmp_path / "a.m4a", "aac", 48_000, "ipod"))
    assert (info.sample_rate_hz, info.format, info.encoding) == (48_000, "MOV", "aac")
    assert info.duration_s == pytest.approx(DURATION_S, abs=0.05)


def test_probing_tells_what_a_truncated_file_lacks() -> None:
    info = probe_audio(wav_bytes(ramp(), claims=64_000))
    assert (info.duration_s, info.missing_s) == (1.0, 1.0)


# What is refused


BROKEN = {
    "empty.wav": (b"", "is empty: there is no recording in it"),
    "silent.wav": (wav_bytes(ramp(0)), "holds no samples: record or copy it again"),
    "cut.wav": (
        wav_bytes(ramp(6_000), claims=32_000),
        "truncated or damaged: 0.38 s of 1.00 s can be read:"
        " copy the file again, or ask for the readable part only",
    ),
    "slow.wav": (
        wav_bytes(ramp(), rate=1),
        "has a sample rate of 1 Hz: it must be 2000 to 768000; 8000 to 48000 is usual",
    ),
    "mute.wav": (wav_bytes(ramp(), channels=0), "has 0 channels: it must have 1 or more"),
    **{
        name: (
            data,
            "not a recording that ds2 can read: convert it first, with: ffmpeg -i FILE out.wav",
        )
        for name, data in {
            "text.wav": b"this is no recording\n" * 100,
            "page.mp3": b"<!DOCTYPE html><html><body>404</body></html>",
            "zeros.bin": bytes(10_000),
            "noise.mp3": np.random.default_rng(1).bytes(50_000),
            "header.wav": wav_bytes(ramp())[:20],
            "still.wav": wav_bytes(ramp(), rate=0),
        }.items()
    },
}


@pytest.mark.parametrize("filename", BROKEN)
def test_broken_files_are_refused_and_say_why(tmp_path: Path, filename: str) -> None:
    data, problem = BROKEN[filename]
    path = tmp_path / filename
    path.write_bytes(data)
    assert problem_of(lambda: read_audio(path)) == f"{path}: {problem}"
    assert problem_of(lambda: read_audio(data)) == f"the audio given: {problem}"


def test_files_that_are_not_there_or_not_files_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.wav"
    assert problem_of(lambda: read_audio(missing)) == f"{missing}: no such file"
    assert problem_of(lambda: read_audio(tmp_path)) == (
        f"{tmp_path}: is a directory, not a recording"
    )
    assert "cannot be opened" in problem_of(lambda: read_audio("a\0.wav"))


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users")
def test_a_file_one_may_not_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(wav_bytes(ramp()))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may do everything
        os.seteuid(65_534)
    try:
        assert problem_of(lambda: read_audio(path)) == (
            f"{path}: cannot be opened: permission denied"
        )
    finally:
        os.seteuid(user)


CUT_KINDS = {
    "a.wav": ("pcm_s24le", "wav"),
    "a.aiff": ("pcm_s16be", "aiff"),
    "a.au": ("pcm_s16be", "au"),
    "a.w64": ("pcm_s16le", "w64"),
    "a.flac": ("flac", "flac"),
    "a.opus": ("libopus", "ogg"),
    "a.mp3": ("libmp3lame", "mp3"),
    "a.webm": ("libopus", "webm"),
}


@pytest.mark.parametrize("filename", CUT_KINDS)
def test_truncated_files_are_refused_but_for_the_part_that_is_there(
    tmp_path: Path, filename: str
) -> None:
    codec, container = CUT_KINDS[filename]
    path = encode(tmp_path / filename, codec, 48_000, container)
    whole = read_audio(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    told = re.fullmatch(
        r"(.*): truncated or damaged: (\d\.\d\d) s of (\d\.\d\d) s can be read:"
        r" copy the file again, or ask for the readable part only",
        problem_of(lambda: read_audio(path)),
    )
    assert told is not None
    there_s, claimed_s = float(told[2]), float(told[3])
    assert told[1] == str(path)
    assert 0.2 <= there_s < 1.4
    assert there_s + 0.25 < claimed_s < DURATION_S + 0.1
    part = read_audio(path, duration_s=there_s - 0.1)
    assert np.array_equal(part[:-800], whole[: len(part) - 800])


def test_ogg_pages_cut_off_or_damaged_are_missed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise, 16_000)
    data = path.read_bytes()
    middle = len(data) // 2
    for broken in (data[:middle], data[:middle] + bytes(50) + data[middle + 50 :]):
        path.write_bytes(broken)
        problem = problem_of(lambda: read_audio(path))
        told = re.search(r"damaged: (\d\.\d\d) s of (\d\.\d\d) s", problem)
        assert told is not None
        assert 0 < float(told[1]) < float(told[2]) <= 5.0
    assert len(read_audio(data)) == 80_000


def test_an_mp4_file_without_its_index_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", "aac", 44_100, "ipod")
    path.write_bytes(path.read_bytes()[:10_000])
    assert problem_of(lambda: read_audio(path)) == (
        f"{path}: truncated: the index of this MP4 file is missing: copy the file again"
    )


def test_a_damaged_flac_file_is_refused_where_the_damage_is(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, sound(16_000), 16_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    path.write_bytes(data)
    problem = problem_of(lambda: read_audio(path))
    assert re.search(r": truncated or damaged: [01]\.\d\d s of 2\.00 s can be read: ", problem)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.nan, "is nan: not sound: export the recording again"),
        (np.inf, "is inf: not sound: export the recording again"),
        (-np.inf, "is -inf: not sound: export the recording again"),
        (20_000, "is 20000: float samples must be in [-1, 1]: scale them"),
    ],
)
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_no_sound_are_refused_and_placed(
    tmp_path: Path, subtype: str, value: float, told: str
) -> None:
    samples = sound(16_000)
    samples[20_000] = value
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16_000, subtype=subtype)
    expected = f"{path}: the sample at 1.250 s {told}"
    assert problem_of(lambda: read_audio(path)) == expected
    assert problem_of(lambda: read_audio(path, offset_s=0.7)) == expected
    assert len(read_audio(path, duration_s=1)) == 16_000


def test_infinities_that_cancel_between_channels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([[0, 0], [np.inf, -np.inf]]), 16_000, subtype="FLOAT")
    assert "is nan: not sound" in problem_of(lambda: read_audio(path))


def test_offsets_and_durations_that_cannot_be_are_refused() -> None:
    data = wav_bytes(ramp())
    assert problem_of(lambda: read_audio(data, offset_s=1.5)) == (
        "the audio given: offset 1.50 s is past its end: it lasts 1.00 s"
    )
    for offset_s in (-0.1, float("nan"), float("inf")):
        assert "it must be 0 or more" in problem_of(lambda o=offset_s: read_audio(data, offset_s=o))
    for duration_s in (0, -1, float("nan")):
        assert "it must be more than 0" in problem_of(
            lambda d=duration_s: read_audio(data, duration_s=d)
        )


def test_an_offset_past_the_end_is_refused_in_compressed_files_too(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", "libmp3lame", 16_000, "mp3")
    assert problem_of(lambda: read_audio(path, offset_s=9)) == (
        f"{path}: offset 9.00 s is past its end: it lasts 2.00 s"
    )


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        add_picture(file)
    told = f"{path}: has no sound track: name a file with sound"
    assert problem_of(lambda: read_audio(path)) == told


def test_more_planes_than_can_be_read_safely_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("wavpack", rate=48_000, layout="10 channels")
        frame = av.AudioFrame(format="s16p", layout="10 channels", samples=480)
        frame.sample_rate = 48_000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert problem_of(lambda: read_audio(path)) == (
        f"{path}: has 10 channels: mix them down to 8 or fewer"
    )


def test_playlists_that_name_other_files_are_not_followed(tmp_path: Path) -> None:
    other = encode(tmp_path / "other.aac", "aac", 16_000, "adts")
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nfile://{other}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{other}'\n",
    ):
        path = tmp_path / "list.m3u8"
        path.write_text(text)
        assert "not a recording that ds2 can read" in problem_of(lambda: read_audio(path))  # noqa: B023


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
    kind=st.sampled_from([".flac", ".ogg", ".mp3", ".webm", ".wav"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    kept=st.floats(0.05, 1),
)
def test_whatever_is_done_to_a_file_it_is_read_or_refused(
    recordings: dict[str, Path], kind: str, changes: list[tuple[int, int]], kept: float
) -> None:
    data = bytearray(recordings[kind].read_bytes())
    data = data[: round(len(data) * kept)]
    for place, value in changes:
        data[place % len(data)] = value
    for source in (bytes(data), Pipe(bytes(data))):
        try:
            waveform = read_audio(source)
        except InputError:
            continue
        assert len(waveform) > 0
        assert np.abs(waveform).max() <= 1


def test_a_title_that_is_not_utf8_does_not_matter(tmp_path: Path) -> None:
    mp3 = encode(tmp_path / "a.mp3", "libmp3lame", 44_100, "mp3").read_bytes()
    title = b"TIT2\0\0\0\x06\0\0\x03caf\xe9\xff"  # declared as UTF-8
    tagged = b"ID3\x03\0\0\0\0\0" + bytes([len(title)]) + title + mp3
    np.testing.assert_array_equal(read_audio(tagged), read_audio(mp3))


def test_nothing_is_said_on_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mp3 = encode(tmp_path / "a.mp3", "libmp3lame", 44_100, "mp3").read_bytes()
    bad_tag = b"ID3\x03\0\0\0\0\x01\0COMM\0\0\0\x05\0\0\0eng" + bytes(200)
    mp3_in_wav = encode(tmp_path / "a.wav", "libmp3lame", 44_100, "wav").read_bytes()
    sought_before_start = bytearray(wav_bytes(ramp()))
    sought_before_start[16:20] = b"\xff\xff\xff\xff"
    broken = (mp3[:9_000], mp3[:5_000] + bytes(300) + mp3[5_300:], bad_tag + mp3)
    for data in (*broken, mp3_in_wav, mp3_in_wav[:9_000], bytes(sought_before_start)):
        with contextlib.suppress(InputError):
            read_audio(data)
    for data, _ in BROKEN.values():
        problem_of(lambda data=data: read_audio(data))
    assert capfd.readouterr() == ("", "")


# Samples without a header


@settings(deadline=None, max_examples=40)
@given(
    encoding=st.sampled_from(["s16le", "f32le"]),
    num_channels=st.integers(1, 3),
    rate=st.sampled_from([8_000, 16_000, 44_100]),
    block_s=st.floats(0.001, 1),
)
def test_raw_samples_are_read_as_a_file_of_them_is(
    encoding: str, num_channels: int, rate: int, block_s: float
) -> None:
    samples = np.stack([sound(rate, 0.3) / (channel + 1) for channel in range(num_channels)], 1)
    if encoding == "s16le":
        samples = np.rint(samples * 32767).astype("<i2")
    file = io.BytesIO()
    subtype = {"s16le": "PCM_16", "f32le": "FLOAT"}[encoding]
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    raw = Pipe(samples.tobytes())
    blocks = pcm_blocks(
        raw, sample_rate_hz=rate, num_channels=num_channels, encoding=encoding, block_s=block_s
    )
    assert np.array_equal(np.concatenate(list(blocks)), read_audio(file.getvalue()))


def test_raw_samples_come_as_soon_as_they_are_there() -> None:
    pipe = Pipe(ramp().tobytes())
    block = next(pcm_blocks(pipe, sample_rate_hz=16_000, num_channels=1, block_s=0.1))
    assert (len(block), pipe.num_read) == (1_600, 3_200)


def test_raw_samples_that_arrive_in_odd_pieces_are_put_together() -> None:
    class Dribble(Pipe):
        def read(self, size: int = -1) -> bytes:
            return super().read(min(size, 7))

    blocks = pcm_blocks(Dribble(ramp(999).tobytes()), sample_rate_hz=16_000, num_channels=1)
    assert np.array_equal(np.concatenate(list(blocks)), ramp(999) / np.float32(32768))


def test_raw_samples_that_cannot_be_are_refused() -> None:
    def problem(data: bytes, **form: object) -> str:
        form = {"sample_rate_hz": 16_000, "num_channels": 1} | form
        return problem_of(lambda: list(pcm_blocks(io.BytesIO(data), **form)))

    assert problem(bytes(6), num_channels=2) == (
        "the audio given: ends within a sample: 6 bytes are not a multiple of 4 (2 x s16le):"
        " check the encoding and the number of channels"
    )
    assert problem(b"") == "the audio given: is empty: there is no recording in it"
    assert "sample rate of 0 Hz" in problem(bytes(4), sample_rate_hz=0)
    assert "has 0 channels" in problem(bytes(4), num_channels=0)
    nan = np.full(4, np.nan, np.float32).tobytes()
    assert "the sample at 0.000 s is nan" in problem(nan, encoding="f32le")


# Directories, and writing


def test_a_directory_gives_its_recordings_sorted_and_nothing_else(tmp_path: Path) -> None:
    names = ["b.wav", "a.FLAC", "c/d.mp3", "c/e.txt", ".hidden.wav", ".cache/f.wav", "g.wav/h.ogg"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in find_audio(tmp_path)]
    assert found == ["a.FLAC", "b.wav", "c/d.mp3", "g.wav/h.ogg"]


def test_a_hidden_directory_named_outright_is_searched(tmp_path: Path) -> None:
    (tmp_path / ".clips").mkdir()
    (tmp_path / ".clips" / "a.wav").touch()
    assert find_audio(tmp_path / ".clips") == [tmp_path / ".clips" / "a.wav"]


def test_a_file_is_found_as_itself_and_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert find_audio(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    assert problem_of(lambda: find_audio(tmp_path)) == (
        f"{tmp_path}: has no recordings (.wav, .flac, .mp3, ...): name another directory"
    )
    assert problem_of(lambda: find_audio(tmp_path / "x")) == (
        f"{tmp_path / 'x'}: no such file or directory"
    )


@settings(deadline=None, max_examples=30)
@given(samples=st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_writing_and_reading_16_bit_samples_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, samples: list[int]
) -> None:
    path = tmp_path_factory.mktemp("written") / "a.wav"
    waveform = np.array(samples, np.float32) / np.float32(32768)
    write_wav(path, waveform)
    assert np.array_equal(read_audio(path), waveform)


def test_writing_clips_what_is_too_loud_and_leaves_no_other_file(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([2, -2, 0.5], np.float32), 8_000)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert (samples.tolist(), rate) == ([32767, -32768, 16384], 8_000)
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_opus_files_that_libsndfile_gives_up_on_are_read_whole() -> None:
    clips = Path(__file__).parents[3] / "shared" / "data" / "noise" / "clips"
    if not clips.is_dir():
        pytest.skip("needs the noise recordings")
    for path in sorted(clips.glob("*.opus"))[::10]:
        duration_s = probe_audio(path).duration_s
        assert duration_s is not None
        assert len(read_audio(path)) / 16_000 == pytest.approx(duration_s, abs=0.05)
