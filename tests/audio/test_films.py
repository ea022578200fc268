"""The sound of films has the films' times in every container; users can choose tracks."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aids.films import CODECS, RATE_HZ, SOUND_S, film
from aids.fuzzing import few
from aids.pipes import Pipe
from ds2 import Recognizer
from ds2.audio import read_audio, sound_tracks
from ds2.audio.timeline import LONGEST_GAP_S, MOST_SILENCE_S, PictureClock, Timeline
from ds2.errors import InputError

NEAR_S = 0.06  # codecs add some samples at the beginning
LOUD = 0.1


def loud_parts(waveform: np.ndarray) -> list[tuple[float, float]]:
    """The starts and ends of sound, in seconds; pauses under 0.3 s do not count."""
    loud = np.flatnonzero(np.abs(waveform) > LOUD) / 16_000
    cuts = np.flatnonzero(np.diff(loud) > 0.3)
    starts, ends = [loud[0], *loud[cuts + 1]], [*loud[cuts], loud[-1]]
    return [(float(start), float(end)) for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("container", CODECS)
def test_sound_that_begins_after_the_picture_is_at_the_films_time(container: str) -> None:
    data = film(container, [lambda _: 10.0])
    for source in (data, Pipe(data)):
        ((start_s, end_s),) = loud_parts(read_audio(source))
        assert start_s == pytest.approx(10, abs=NEAR_S)
        assert end_s == pytest.approx(10 + SOUND_S, abs=2 * NEAR_S)
    (track,) = sound_tracks(data)
    assert track.start_s == pytest.approx(10, abs=NEAR_S)
    ((start_s, _),) = loud_parts(read_audio(data, offset_s=9.5))
    assert start_s == pytest.approx(0.5, abs=NEAR_S)


@pytest.mark.parametrize("container", CODECS)
def test_silence_stands_in_for_a_gap_in_the_sound(container: str) -> None:
    data = film(container, [lambda t: 0.0 if t < 1.5 else 4.0], picture_s=8)
    parts = loud_parts(read_audio(data))
    assert np.array(parts) == pytest.approx(np.array([[0, 1.5], [5.5, 7]]), abs=2 * NEAR_S)


@pytest.mark.parametrize("container", ["mp4", "matroska", "webm"])
@pytest.mark.parametrize("picture_s", [0, 3.0])
def test_lost_packets_do_not_move_what_follows(container: str, picture_s: float) -> None:
    data = film(container, [lambda t: None if 1 < t < 2 else 0.0], picture_s=picture_s)
    parts = loud_parts(read_audio(data))
    assert np.array(parts) == pytest.approx(np.array([[0, 1], [2, 3]]), abs=2 * NEAR_S)


def test_sound_alone_begins_at_0_where_the_clock_of_its_container_may_begin_anywhere() -> None:
    for container, start_s in (("mpegts", 0), ("flv", 0), ("mp4", 5), ("matroska", 5)):
        data = film(container, [lambda _: 5.0], picture_s=0)
        assert loud_parts(read_audio(data))[0][0] == pytest.approx(start_s, abs=NEAR_S), container


@pytest.mark.parametrize("container", ["matroska", "mp4", "mpegts"])
def test_a_stamp_that_cannot_be_is_told_of_and_not_obeyed(
    container: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = film(container, [lambda t: 0.0 if t < 1.5 else 36_000.0], picture_s=0)
    with caplog.at_level(logging.WARNING, "ds2.audio"):
        waveform = read_audio(data)
    assert len(waveform) / 16_000 == pytest.approx(SOUND_S, abs=2 * NEAR_S)
    (record,) = caplog.records
    assert "the time stamps of the sound jump ahead, from 1.5" in record.message


@pytest.mark.parametrize("container", ["matroska", "webm", "mpegts"])
def test_stamps_that_jump_back_are_told_of_and_lose_no_sound(
    container: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = film(container, picture_s=0)
    with caplog.at_level(logging.WARNING, "ds2.audio"):
        waveform = read_audio(data + data)
    assert len(waveform) / 16_000 == pytest.approx(2 * SOUND_S, abs=2 * NEAR_S)
    (record,) = caplog.records
    assert "the time stamps of the sound jump back" in record.message


def test_a_film_that_another_one_follows_counts_on_as_its_pictures_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = film("mpegts", [lambda _: 4.0], picture_s=8)
    with caplog.at_level(logging.INFO, "ds2.audio"):
        parts = loud_parts(read_audio(data + data))
    assert np.array(parts) == pytest.approx(np.array([[4, 7], [12, 15]]), abs=2 * NEAR_S)
    assert "the clock of the film jumps" in caplog.text


def test_words_are_at_the_times_of_the_film(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "samples" / "en-1.ogg"
    spoken = read_audio(sample)
    recognizer = Recognizer.load("en")
    late = np.concatenate([np.zeros(160_000, np.float32), spoken])
    words = recognizer.transcribe(late).words[:6]  # the film's codec may change uncertain words
    path = tmp_path / "late.mkv"
    path.write_bytes(film("matroska", [lambda _: 10.0], sound=spoken, rate_hz=16_000))
    for transcript in (
        recognizer.transcribe(path),
        next(iter(recognizer.transcribe_many([path])))[1],
    ):
        found = transcript.words[:6]
        assert [word.text for word in found] == [word.text for word in words]
        starts_s = [word.start_s for word in found]
        assert starts_s == pytest.approx([word.start_s for word in words], abs=0.05)
        assert min(starts_s) > 10


# Tracks


def two_tracks(container: str = "matroska", default: int = 1) -> bytes:
    shifts = [lambda _: 0.0, lambda _: 5.0]
    return film(container, shifts, languages=["chi", "eng"], default=default, picture_s=8)


@pytest.mark.parametrize("container", ["matroska", "mp4"])
@pytest.mark.parametrize(
    ("track", "start_s"),
    [(1, 0), (2, 5), ("1", 0), ("eng", 5), ("en", 5), ("English", 5), ("zh-CN", 0), ("zho", 0)],
)
def test_a_track_is_chosen_by_number_or_language(
    container: str, track: int | str, start_s: float
) -> None:
    data = two_tracks(container)
    assert loud_parts(read_audio(data, track=track))[0][0] == pytest.approx(start_s, abs=NEAR_S)


@pytest.mark.parametrize("default", [0, 1])
def test_the_default_track_is_heard_and_the_choice_is_told(
    default: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ds2.audio"):
        parts = loud_parts(read_audio(two_tracks(default=default)))
    assert parts[0][0] == pytest.approx(5 * default, abs=NEAR_S)
    chosen, other = ("2 (eng)", "1 (chi)") if default else ("1 (chi)", "2 (eng)")
    assert caplog.messages == [
        f"the audio given: has 2 sound tracks: using {chosen}; the others are {other}: "
        "choose with --track"
    ]


def test_tracks_are_listed() -> None:
    first, second = sound_tracks(two_tracks())
    assert (first.number, first.language, first.is_default) == (1, "chi", False)
    assert (second.number, second.language, second.is_default) == (2, "eng", True)
    assert (second.sample_rate_hz, second.num_channels) == (RATE_HZ, 1)
    assert second.start_s == pytest.approx(5, abs=NEAR_S)


@pytest.mark.parametrize("track", [3, 0, "fr", "3"])
def test_a_track_that_is_not_there_is_refused(track: int | str) -> None:
    with pytest.raises(
        InputError, match=r"has no sound track .*: choose one of 1 \(chi\), 2 \(eng\)"
    ):
        read_audio(two_tracks(), track=track)
    with pytest.raises(InputError, match="must be a number, or a language"):
        read_audio(two_tracks(), track="?")
    with pytest.raises(InputError, match="samples in memory have none"):
        Recognizer.load("en").transcribe(np.zeros(100, np.float32), track=1)


# The rules of the timeline


def test_gaps_are_bounded_one_by_one_and_together() -> None:
    timeline = Timeline("a", 10, 0.0)
    assert timeline.put(LONGEST_GAP_S, 10) == (10 * LONGEST_GAP_S, 0)
    silent = [timeline.put(LONGEST_GAP_S * index + 3600, 10)[0] for index in range(1, 20)]
    assert sum(silent) + 10 * LONGEST_GAP_S <= 10 * MOST_SILENCE_S
    assert Timeline("a", 10, 0.0).put(LONGEST_GAP_S + 1, 10) == (0, 0)


def test_stamps_that_stand_still_cost_no_sound(caplog: pytest.LogCaptureFixture) -> None:
    timeline = Timeline("a", 1_000, 0.0)
    left_out = sum(timeline.put(0.0, 20)[1] for _ in range(5_000))
    assert left_out <= 1_000 + 1_000
    assert timeline.position >= 98_000
    assert len(caplog.records) == 1


def test_a_clock_that_runs_a_little_slow_or_fast_is_followed() -> None:
    for pace in (0.999, 1.001):
        timeline = Timeline("a", 1_000, 0.0)
        for index in range(10_000):
            timeline.put(index * 0.02 * pace, 20)
            assert abs(timeline.position / 1_000 - (index + 1) * 0.02 * pace) < 0.15


def test_pictures_far_apart_are_no_other_clock() -> None:
    clock = PictureClock()
    timeline = Timeline("a", 1_000, 0.0, clock)
    for index in range(3_000):
        if index % 1_000 == 0:
            clock.see(index * 0.02)  # every 20 s
        assert timeline.put(index * 0.02, 20) == (0, 0)
    assert timeline.put(63.0, 20) == (3_000, 0)


# Laws for any film

FILMS = {
    f"{container} {name}": film(container, shifts, picture_s=6)
    for container in CODECS
    for name, shifts in {
        "late": [lambda _: 2.0],
        "gap": [lambda t: 0.0 if t < 1.5 else 2.0],
        "two tracks": [lambda _: 0.0, lambda _: 1.0],
    }.items()
    if container != "asf" or name != "two tracks"
}


@few(40)
@given(
    kind=st.sampled_from(sorted(FILMS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6),
    in_head=st.booleans(),
    kept=st.just(1.0) | st.floats(0.05, 1),
    track=st.sampled_from([None, None, 1, 2, "en"]),
)
def test_a_film_with_wrong_bytes_is_read_or_refused(
    kind: str,
    changes: list[tuple[float, bytes]],
    in_head: bool,
    kept: float,
    track: int | str | None,
) -> None:
    data = bytearray(FILMS[kind])
    data = data[: round(len(data) * kept)]
    for place, value in changes:
        start = round(place * (min(len(data), 1_000) if in_head else len(data)))
        data[start : start + len(value)] = value
    for source in (bytes(data), Pipe(bytes(data))):
        try:
            if isinstance(source, bytes):
                sound_tracks(source)
            waveform = read_audio(source, duration_s=60, track=track)
        except InputError:
            continue
        assert 0 < len(waveform) <= 60 * 16_000 + 1
        assert np.abs(waveform).max() <= 1
