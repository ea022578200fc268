"""Live streams: their events, and the ends of their segments."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.grams import FALLBACK, build
from aids.models import TINY_BIDIRECTIONAL, write_random_bundle
from ds2.audio import read_audio
from ds2.ctc.hypothesis import Token
from ds2.ctc.phrases import HotPhrase
from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.ngram.estimate import EstimateConfig
from ds2.recognition.endpoint import EndpointRules
from ds2.recognition.recognizer import Recognizer
from ds2.recognition.segments import _GrowingText, words_of
from ds2.text.alphabet import Alphabet
from ds2.text.spacing import join_words
from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart

ROOT = Path(__file__).parents[2]
SECOND = 16_000


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recognizer]:
    """The English model, greedy and with a language model."""
    text = "could you please call me back tomorrow morning before nine\nthe next train leaves\n"
    directory = tmp_path_factory.mktemp("lm")
    build(directory, text, EstimateConfig(2, discount_fallback=FALLBACK), language="en")
    model = ROOT / "models" / "en"
    return {
        "greedy": Recognizer.load(model, greedy=True),
        "search": Recognizer.load(model, lm=directory / "lm.bin", settings=BeamSettings()),
    }


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Two sentences, each with a pause after it."""
    first, second = (read_audio(ROOT / "samples" / f"en-{i}.ogg") for i in (1, 2))
    pause = np.random.default_rng(0).normal(size=2 * SECOND).astype(np.float32) * 1e-4
    return np.concatenate([first, pause, second, pause, pause])


def told(
    recognizer: Recognizer, waveform: np.ndarray, cuts: list[int], rules: EndpointRules | None
) -> list[Event]:
    stream = recognizer.stream(endpoints=rules)
    events: list[Event] = []
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(waveform)]):
        events += stream.feed(waveform[start:stop])
    stream.finish()
    return events + stream.take_events()


def finals(events: list[Event]) -> list[str]:
    return [event.transcript.text for event in events if isinstance(event, Final)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["greedy", "search"])
def test_segments_end_at_pauses(
    recognizers: dict[str, Recognizer], speech: np.ndarray, kind: str
) -> None:
    events = told(recognizers[kind], speech, [], EndpointRules())
    ends = [event for event in events if isinstance(event, Endpoint)]
    assert [end.reason for end in ends] == ["pause", "pause", "silence"]
    assert len(finals(events)) == 4  # with the audio after the last endpoint
    first, second = (e.transcript for e in events if isinstance(e, Final) and e.transcript.words)
    assert second.words[0].start_s > ends[0].time_s > first.words[-1].end_s + 1.0
    starts = [event.time_s for event in events if isinstance(event, SpeechStart)]
    assert starts == [first.words[0].start_s, second.words[0].start_s]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["greedy", "search"])
@given(data=st.data())
@settings(deadline=None, max_examples=3)
def test_what_is_told_does_not_depend_on_the_pieces(
    recognizers: dict[str, Recognizer], speech: np.ndarray, kind: str, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(speech)), max_size=30))
    recognizer = recognizers[kind]
    whole = told(recognizer, speech, [], EndpointRules())
    assert told(recognizer, speech, cuts, EndpointRules()) == whole


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["greedy", "search"])
@pytest.mark.parametrize("rules", [None, EndpointRules(pause_s=0.5)])
def test_stable_text_stays(
    recognizers: dict[str, Recognizer], speech: np.ndarray, kind: str, rules: EndpointRules | None
) -> None:
    stable, num_stable = "", 0
    for event in told(recognizers[kind], speech, [*range(0, len(speech), 320)], rules):
        if isinstance(event, Partial):
            assert event.stable.startswith(stable)
            stable = event.stable
            num_stable = max(num_stable, len(stable))
        elif isinstance(event, Final):
            assert event.transcript.text.startswith(stable)
            stable = ""
    assert num_stable > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["greedy", "search"])
def test_without_endpoints_a_stream_gives_what_transcribing_gives(
    recognizers: dict[str, Recognizer], speech: np.ndarray, kind: str
) -> None:
    recognizer = recognizers[kind]
    whole = recognizer.transcribe(speech)
    stream = recognizer.stream()
    for start in range(0, len(speech), 320):  # 20 ms
        stream.feed(speech[start : start + 320])
    assert stream.finish() == whole
    (final,) = (event for event in stream.take_events() if isinstance(event, Final))
    assert final.transcript == whole


def test_a_flush_ends_the_segment_with_all_that_was_said(
    recognizers: dict[str, Recognizer],
) -> None:
    waveform = read_audio(ROOT / "samples" / "en-1.ogg")
    recognizer = recognizers["greedy"]
    stream = recognizer.stream()
    stream.feed(waveform)
    *_, final, end = stream.flush()
    assert isinstance(final, Final)
    expected = recognizer.transcribe(waveform)
    assert final.transcript.duration_s == expected.duration_s
    for word, other in zip(final.transcript.words, expected.words, strict=True):
        assert (word.text, word.start_s, word.end_s) == (other.text, other.start_s, other.end_s)
    assert isinstance(end, Endpoint)
    assert end.reason == "request"
    again = stream.flush()  # nobody said more
    assert [type(event) for event in again] == [Final, Endpoint]
    assert finals(again) == [""]
    stream.feed(waveform)
    text = stream.finish().text
    assert len(text) > 20
    assert text not in finals([final])


def test_a_long_segment_ends_without_a_pause(recognizers: dict[str, Recognizer]) -> None:
    speech = np.tile(read_audio(ROOT / "samples" / "en-1.ogg"), 4)
    events = told(recognizers["greedy"], speech, [], EndpointRules(longest_s=3.0))
    ends = [event for event in events if isinstance(event, Endpoint)]
    assert {end.reason for end in ends} == {"length"}
    assert len(ends) == 4
    times_s = [0.0, *(end.time_s for end in ends)]
    assert all(3.0 <= after - before < 3.3 for before, after in itertools.pairwise(times_s))


@pytest.mark.slow
def test_a_stream_without_end_keeps_no_more_than_its_segment(
    recognizers: dict[str, Recognizer], speech: np.ndarray
) -> None:
    stream = recognizers["search"].stream(endpoints=EndpointRules())
    for _ in range(3):
        stream.feed(speech)
    decoder = stream.segments._decoder
    assert len(decoder._memory.prefixes) == len(
        recognizers["search"].stream().segments._decoder._memory.prefixes
    )
    assert stream.num_pending < stream.chunk_frames


def test_phrases_of_one_stream_are_heard_in_it(recognizers: dict[str, Recognizer]) -> None:
    waveform = read_audio(ROOT / "samples" / "en-2.ogg")
    for recognizer in recognizers.values():
        stream = recognizer.stream(phrases=[HotPhrase("leaves from platform four", 90)])
        stream.feed(waveform)
        assert "leaves from platform four" in stream.finish().text
        assert "leaves from platform four" not in recognizer.transcribe(waveform).text


def test_alternatives_of_one_stream(recognizers: dict[str, Recognizer]) -> None:
    stream = recognizers["search"].stream(num_alternatives=2)
    stream.feed(read_audio(ROOT / "samples" / "en-2.ogg"))
    assert len(stream.finish().alternatives) == 3


def test_a_model_of_whole_utterances_finds_no_endpoints(tmp_path: Path) -> None:
    recognizer = Recognizer(write_random_bundle(tmp_path, TINY_BIDIRECTIONAL))
    with pytest.raises(InputError, match="needs whole utterances"):
        recognizer.stream(endpoints=EndpointRules())
    stream = recognizer.stream()
    assert stream.feed(np.zeros(SECOND, np.float32)) == []
    with pytest.raises(InputError, match="needs whole utterances"):
        stream.flush()
    text = stream.finish().text
    assert finals(stream.take_events()) == [text]


@pytest.mark.parametrize("name", ["silence_s", "pause_s", "longest_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_rules_that_cannot_be_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be a number of seconds above 0"):
        EndpointRules(**{name: value})


def test_partial_text_is_written_as_the_final_is() -> None:
    alphabet = Alphabet("characters", "zh", (" ", "a", "b", "你", "好"))

    for text in (" ab  ba 你 好 a你b b ", "你 好", "a b", "ab"):
        tokens = [Token(label, i, i + 1, 0.0, 1.0) for i, label in enumerate(alphabet.encode(text))]
        words = words_of(tokens, alphabet, 0.1, 9.0)
        told = _GrowingText(alphabet)
        for num_heard in range(len(tokens) + 1):
            labels = [token.label for token in tokens[:num_heard]]
            stable, unstable = told.of(labels, num_heard // 2)
            again = _GrowingText(alphabet).of(labels, num_heard)[0]
            assert stable == _GrowingText(alphabet).of(labels[: num_heard // 2], num_heard // 2)[0]
            assert stable + unstable == again
        assert stable + unstable == join_words((word.text for word in words), "zh")
    assert _GrowingText(alphabet).of(alphabet.encode("a b"), 2) == ("a", " b")
