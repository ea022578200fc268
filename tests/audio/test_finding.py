"""Find recordings in directories by name, by content and through links, and leave others out."""

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from ds2.audio import Found, find_audio, search, write_wav
from ds2.audio.finding import is_recording_file

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "samples" / "en-1.ogg"


def names_in(found: Found) -> list[str]:
    return [str(path.relative_to(found.directory)) for path in found.recordings]


def encode(path: Path, codec: str, container: str) -> Path:
    samples = (0.1 * np.random.default_rng(0).standard_normal((1, 24_000))).astype(np.float32)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000, layout="mono")
        for start in range(0, 24_000, 960):
            frame = av.AudioFrame.from_ndarray(samples[:, start : start + 960], "fltp", "mono")
            frame.sample_rate = 48_000
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("aac", "ipod"),
        ("aac", "mpegts"),
        ("aac", "adts"),
        ("aac", "flv"),
        ("mp3", "mp3"),
        ("mp2", "mp2"),
        ("mp3", "avi"),
        ("libopus", "ogg"),
        ("libopus", "webm"),
        ("ac3", "ac3"),
        ("mp3", "asf"),
    ],
)
def test_what_is_in_a_file_decides_where_its_name_says_nothing(
    tmp_path: Path, codec: str, container: str
) -> None:
    for name in ("recording", "recording.dat", "REC.001"):
        assert is_recording_file(encode(tmp_path / name, codec, container))


def test_names_that_only_look_like_sound_are_passed_over(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(100, np.float32))
    (tmp_path / "code.ts").write_text("export const answer = 42;\n")
    (tmp_path / "notes").write_text("ID3 is a kind of tag\n")
    (tmp_path / "utf16").write_bytes("text in UTF-16".encode("utf-16"))
    (tmp_path / "picture.x").write_bytes(b"RIFF\x10\0\0\0WEBPVP8 " + bytes(100))
    (tmp_path / "empty").touch()
    (tmp_path / "speech.txt").write_bytes(CLIP.read_bytes())  # its name shows a format
    (tmp_path / ".hidden").write_bytes(CLIP.read_bytes())
    os.mkfifo(tmp_path / "pipe")
    found = search(tmp_path)
    assert names_in(found) == ["a.wav"]
    assert found.passed_over == f"{tmp_path}: skipped 7 files that hold no sound"


def test_links_to_directories_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(CLIP, tmp_path / "elsewhere" / "far.ogg")
    root = tmp_path / "root"
    (root / "real" / "inner").mkdir(parents=True)
    shutil.copy(CLIP, root / "real" / "inner" / "near.ogg")
    (root / "a-link").symlink_to(root / "real")  # comes before it in the alphabet
    (root / "real" / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "out-again").symlink_to(tmp_path / "elsewhere")
    (root / "broken").symlink_to(tmp_path / "nowhere")
    found = search(root)
    assert names_in(found) == ["out/far.ogg", "real/inner/near.ogg"]
    assert (found.num_others, found.num_repeated) == (1, 3)
    assert found.passed_over == (
        f"{root}: skipped 1 file that holds no sound, 3 links to directories that are done already"
    )


def test_nothing_passed_over_says_nothing(tmp_path: Path) -> None:
    shutil.copy(CLIP, tmp_path / "a.ogg")
    assert search(tmp_path).passed_over == ""
    assert search(tmp_path / "a.ogg").recordings == [tmp_path / "a.ogg"]
    assert find_audio(tmp_path) == [tmp_path / "a.ogg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    shutil.copy(CLIP, tmp_path / "a.ogg")
    (tmp_path / "closed").mkdir(mode=0)
    found = search(tmp_path)
    assert found.problems == [f"{tmp_path / 'closed'}: cannot be searched: permission denied"]
