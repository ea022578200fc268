"""OpenAI's Realtime interface, with OpenAI's own client and a real server."""

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from aids.listening import listening
from aids.models import TINY_BIDIRECTIONAL, write_random_bundle
from ds2 import Recognizer, read_audio
from ds2.audio import Resampler, Waveform
from ds2.audio.samples import Encoding, Samples
from ds2.ctc.phrases import HotPhrase
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.access.client_secrets import ClientSecrets
from ds2.serving.config import ServeSettings
from ds2.serving.protocols.openai.realtime.settings import LOGPROBS, SessionSettings
from ds2.serving.protocols.openai.realtime.turns import Message, Turns
from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart
from ds2.transcripts.transcript import Transcript, Word

SAMPLES = Path(__file__).parents[3] / "samples"
TRANSCRIPTION = "conversation.item.input_audio_transcription"
KEY = "one-of-the-server's"


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recognizer]:
    """The shipped English model, one for Mandarin and one of whole utterances, both random."""
    mandarin = write_random_bundle(tmp_path_factory.mktemp("zh"), language="zh")
    whole = write_random_bundle(tmp_path_factory.mktemp("whole"), TINY_BIDIRECTIONAL)
    return {"en": Recognizer.load("en"), "zh": Recognizer(mandarin), "whole": Recognizer(whole)}


@pytest.fixture(scope="module")
def address(recognizers: dict[str, Recognizer]) -> Iterator[str]:
    with listening(recognizers) as at:
        yield at


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="any", max_retries=0) as client:
        yield client


def pcm(waveform: Waveform, rate_hz: int = 24_000) -> bytes:
    """A waveform at 16 kHz as 16-bit samples at another rate."""
    resampler = Resampler(16_000, rate_hz)
    samples = np.concatenate([resampler.feed(waveform), resampler.finish()])
    return np.clip(samples * 32768, -32768, 32767).astype("<i2").tobytes()


def heard(data: bytes, rate_hz: int = 24_000, encoding: Encoding = "s16le") -> Waveform:
    """The waveform at 16 kHz that a server makes from bytes."""
    resampler = Resampler(rate_hz)
    pieces = [resampler.feed(Samples(encoding).feed(data)), resampler.finish()]
    return np.clip(np.concatenate(pieces), -1, 1)


def append(connection: Any, data: bytes, step: int = 9600) -> None:
    for start in range(0, len(data), step):
        audio = base64.b64encode(data[start : start + step]).decode()
        connection.input_audio_buffer.append(audio=audio)


def receive_until(connection: Any, last: str) -> list[Any]:
    """The events up to the first of a type, with that event."""
    events = [connection.recv()]
    while events[-1].type != last:
        assert events[-1].type != "error", events[-1]
        events.append(connection.recv())
    return events


def update(**settings: Any) -> dict[str, Any]:
    return {"type": "transcription", "audio": {"input": settings}}


MANUAL = update(turn_detection=None)


@pytest.mark.slow
def test_a_committed_turn_is_what_ds2_transcribe_hears(
    client: openai.OpenAI, recognizers: dict[str, Recognizer]
) -> None:
    data = pcm(read_audio(SAMPLES / "en-1.ogg"))
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert connection.recv().type == "session.created"
        connection.session.update(session={**MANUAL, "include": [LOGPROBS]})
        assert connection.recv().type == "session.updated"
        append(connection, data)
        connection.input_audio_buffer.commit()
        events = receive_until(connection, f"{TRANSCRIPTION}.completed")
    completed = events[-1]
    assert completed.transcript == recognizers["en"].transcribe(heard(data)).text
    assert completed.usage.seconds == pytest.approx(len(data) / 48_000, abs=1e-3)
    assert "".join(each.token for each in completed.logprobs) == completed.transcript
    deltas = [event for event in events if event.type == f"{TRANSCRIPTION}.delta"]
    assert "".join(event.delta for event in deltas) == completed.transcript
    assert [event.type for event in events if event not in deltas] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.completed",
    ]
    items = {getattr(event, "item_id", None) or event.item.id for event in events}
    assert items == {completed.item_id}


def test_turns_are_found_in_speech_with_pauses(
    client: openai.OpenAI, recognizers: dict[str, Recognizer]
) -> None:
    said = [read_audio(SAMPLES / name) for name in ("en-1.ogg", "en-2.ogg")]
    pause = np.zeros(24_000, np.float32)
    data = pcm(np.concatenate([said[0], pause, said[1], pause]))
    with client.realtime.connect(model="en") as connection:
        created = connection.recv()
        assert created.session.audio.input.turn_detection.type == "server_vad"
        vad = {"type": "server_vad", "silence_duration_ms": 600, "prefix_padding_ms": 100}
        connection.session.update(session=update(turn_detection=vad))
        assert connection.recv().session.audio.input.turn_detection.silence_duration_ms == 600
        append(connection, data)
        turns = [receive_until(connection, f"{TRANSCRIPTION}.completed") for _ in said]
    stream = recognizers["en"].stream(endpoints=EndpointRules(pause_s=0.6))
    finals = [event for event in stream.feed(heard(data)) if isinstance(event, Final)]
    previous_id, end_ms = None, 0
    for events, text in zip(turns, [final.transcript.text for final in finals], strict=True):
        others = [event for event in events if event.type != f"{TRANSCRIPTION}.delta"]
        started, stopped, committed, added, done, completed = others
        assert started.type == "input_audio_buffer.speech_started"
        assert stopped.type == "input_audio_buffer.speech_stopped"
        assert committed.type == "input_audio_buffer.committed"
        assert end_ms <= started.audio_start_ms < stopped.audio_end_ms
        assert committed.previous_item_id == added.previous_item_id == previous_id
        ids = {each.item_id for each in (started, stopped, committed, completed)}
        assert ids == {added.item.id} == {done.item.id}
        deltas = [event.delta for event in events if event.type == f"{TRANSCRIPTION}.delta"]
        assert "".join(deltas) == completed.transcript
        assert completed.transcript == text
        previous_id, end_ms = completed.item_id, stopped.audio_end_ms


def test_text_comes_while_a_turn_is_still_spoken(client: openai.OpenAI) -> None:
    with client.realtime.connect(model="en") as connection:
        connection.recv()
        connection.session.update(session=MANUAL)
        connection.recv()
        append(connection, pcm(read_audio(SAMPLES / "en-1.ogg")))
        assert connection.recv().type == f"{TRANSCRIPTION}.delta"  # nothing was committed


def test_what_is_cleared_is_not_told_of(
    client: openai.OpenAI, recognizers: dict[str, Recognizer]
) -> None:
    first, second = (read_audio(SAMPLES / name) for name in ("en-1.ogg", "en-2.ogg"))
    with client.realtime.connect(model="en") as connection:
        connection.recv()
        connection.session.update(session=MANUAL)
        connection.recv()
        connection.input_audio_buffer.clear()  # nothing has come yet
        assert connection.recv().type == "input_audio_buffer.cleared"
        append(connection, pcm(first))
        connection.input_audio_buffer.clear()
        events = receive_until(connection, "input_audio_buffer.cleared")
        assert {event.type for event in events[:-1]} <= {f"{TRANSCRIPTION}.delta"}
        append(connection, pcm(second))
        connection.input_audio_buffer.commit()
        *_, completed = receive_until(connection, f"{TRANSCRIPTION}.completed")
    assert completed.item_id not in {getattr(event, "item_id", None) for event in events}
    assert completed.usage.seconds == pytest.approx(len(second) / 16_000, abs=0.01)
    stream, resampler = recognizers["en"].stream(), Resampler(24_000)
    for waveform in (first, second):
        samples = Samples("s16le").feed(pcm(waveform))
        *_, final, _ = [*stream.feed(np.clip(resampler.feed(samples), -1, 1)), *stream.flush()]
    assert isinstance(final, Final)
    assert completed.transcript == final.transcript.text


def test_several_asynchronous_clients_hear_their_own_words(
    address: str, recognizers: dict[str, Recognizer]
) -> None:
    recordings = [pcm(read_audio(SAMPLES / name)) for name in ("en-1.ogg", "en-2.ogg")] * 2

    async def turn(client: openai.AsyncOpenAI, data: bytes) -> str:
        async with client.realtime.connect() as connection:
            await connection.session.update(session=MANUAL)
            for start in range(0, len(data), 4800):
                audio = base64.b64encode(data[start : start + 4800]).decode()
                await connection.input_audio_buffer.append(audio=audio)
            await connection.input_audio_buffer.commit()
            async for event in connection:
                if event.type == f"{TRANSCRIPTION}.completed":
                    return event.transcript
        raise AssertionError("the connection ended before the transcript")

    async def turns() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"http://{address}/v1", api_key="any") as client:
            return await asyncio.gather(*(turn(client, data) for data in recordings))

    expected = [recognizers["en"].transcribe(heard(data)).text for data in recordings]
    assert asyncio.run(turns()) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sound", "rate_hz", "encoding"),
    [
        ({"type": "audio/pcm", "rate": 16_000}, 16_000, "s16le"),
        ({"type": "audio/pcm", "rate": 48_000}, 48_000, "s16le"),
        ({"type": "audio/pcmu"}, 8_000, "mulaw"),
        ({"type": "audio/pcma"}, 8_000, "alaw"),
    ],
)
def test_audio_of_other_rates_and_of_telephones_is_heard(
    client: openai.OpenAI,
    recognizers: dict[str, Recognizer],
    sound: dict[str, Any],
    rate_hz: int,
    encoding: Encoding,
) -> None:
    data = pcm(read_audio(SAMPLES / "en-2.ogg"), rate_hz)
    if encoding != "s16le":
        table = Samples(encoding).feed(bytes(range(256)))
        samples = np.frombuffer(data, "<i2") / 32768
        data = bytes(np.abs(samples[:, np.newaxis] - table).argmin(axis=1).astype(np.uint8))
    with client.realtime.connect() as connection:
        connection.recv()
        connection.session.update(session=update(format=sound, turn_detection=None))
        told = connection.recv().session.audio.input.format
        assert told.to_dict() == {"rate": rate_hz, **sound}
        append(connection, data)
        connection.input_audio_buffer.commit()
        *_, completed = receive_until(connection, f"{TRANSCRIPTION}.completed")
    expected = recognizers["en"].transcribe(heard(data, rate_hz, encoding)).text
    assert completed.transcript == expected


def test_model_language_and_keywords_choose_the_recogniser(
    client: openai.OpenAI, recognizers: dict[str, Recognizer]
) -> None:
    data = pcm(read_audio(SAMPLES / "en-1.ogg"))
    with client.realtime.connect(model="gpt-realtime") as connection:
        assert connection.recv().session.audio.input.transcription.model == "en"
        asked = {"model": "gpt-4o-transcribe", "language": "zh", "keywords": ["世界"]}
        session = update(transcription=asked, turn_detection=None)
        connection.session.update(session={**session, "type": "realtime"})
        told = connection.recv().session.audio.input.transcription.to_dict()
        assert told == {"model": "zh", "language": "zh", "prompt": "", "keywords": ["世界"]}
        connection.session.update(session=update(transcription={"keywords": []}))
        connection.recv()
        append(connection, data)
        # Other settings end the stream; its audio becomes a turn.
        connection.session.update(session=update(transcription={"language": "en"}))
        *_, completed, updated = receive_until(connection, "session.updated")
        assert completed.transcript == recognizers["zh"].transcribe(heard(data)).text
        assert updated.session.audio.input.transcription.model == "en"
        append(connection, data)
        connection.input_audio_buffer.commit()
        *_, completed = receive_until(connection, f"{TRANSCRIPTION}.completed")
        assert completed.transcript == recognizers["en"].transcribe(heard(data)).text


def test_keywords_are_heard_more_readily(
    client: openai.OpenAI, recognizers: dict[str, Recognizer]
) -> None:
    data = pcm(read_audio(SAMPLES / "en-1.ogg"))
    hearing = Recognizer(recognizers["en"].bundle, phrases=[HotPhrase("ladder")])
    with client.realtime.connect(model="en") as connection:
        connection.recv()
        asked = {"keywords": ["ladder"], "prompt": "Ladder."}
        connection.session.update(session=update(transcription=asked, turn_detection=None))
        connection.recv()
        append(connection, data)
        connection.input_audio_buffer.commit()
        *events, completed = receive_until(connection, f"{TRANSCRIPTION}.completed")
    assert completed.transcript == hearing.transcribe(heard(data)).text
    deltas = [event.delta for event in events if event.type == f"{TRANSCRIPTION}.delta"]
    assert "".join(deltas) == completed.transcript


def test_a_model_of_whole_utterances_hears_what_is_committed(
    client: openai.OpenAI, recognizers: dict[str, Recognizer]
) -> None:
    recordings = [pcm(read_audio(SAMPLES / name)) for name in ("en-1.ogg", "en-2.ogg")]
    with client.realtime.connect(model="whole") as connection:
        assert connection.recv().session.audio.input.turn_detection is None
        for data in recordings:
            append(connection, data)
            connection.input_audio_buffer.clear()
            assert connection.recv().type == "input_audio_buffer.cleared"
            append(connection, data)
            connection.input_audio_buffer.commit()
            *_, completed = receive_until(connection, f"{TRANSCRIPTION}.completed")
            assert completed.transcript == recognizers["whole"].transcribe(heard(data)).text


INPUT = "session.audio.input"


@pytest.mark.parametrize(
    ("message", "param", "told"),
    [
        ({"type": "response.create"}, "type", "only transcribes"),
        ({"type": "session.update"}, "session", "must be an object"),
        ({"type": "session.update", "session": {"audio": 3}}, "session.audio", "an object"),
        (update(format={"type": "audio/mp3"}), f"{INPUT}.format.type", "audio/pcmu"),
        (update(format={"type": "audio/pcm", "rate": 1}), f"{INPUT}.format.rate", "from 2000"),
        (update(transcription={"model": "x"}), f"{INPUT}.transcription.model", '"en" (en)'),
        (update(transcription={"language": "fi"}), f"{INPUT}.transcription.language", "zh"),
        (update(transcription={"keywords": ["北京"]}), f"{INPUT}.transcription.keywords", "spell"),
        (update(turn_detection={"type": "x"}), f"{INPUT}.turn_detection.type", "server_vad"),
        (
            update(turn_detection={"type": "server_vad", "threshold": 2}),
            f"{INPUT}.turn_detection.threshold",
            "from 0 to 1",
        ),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "audio", "base64"),
        ({"type": "input_audio_buffer.append", "audio": 3}, "audio", "base64"),
        ({"type": "input_audio_buffer.commit"}, None, "too little to commit"),
    ],
)
def test_a_mistake_is_told_and_the_session_goes_on(
    client: openai.OpenAI, message: dict[str, Any], param: str | None, told: str
) -> None:
    if message.get("type", "transcription") == "transcription":
        message = {"type": "session.update", "session": message}
    with client.realtime.connect() as connection:
        before = connection.recv().session
        connection.send({"event_id": "mine", **message})  # type: ignore[misc]
        event = connection.recv()
        assert event.type == "error"
        assert told in event.error.message
        assert (event.error.param, event.error.event_id) == (param, "mine")
        assert event.error.type == "invalid_request_error"
        connection.session.update(session=update())
        assert connection.recv().session == before


def test_too_little_audio_cannot_be_committed(client: openai.OpenAI) -> None:
    with client.realtime.connect() as connection:
        connection.recv()
        append(connection, bytes(960))  # 20 ms
        connection.input_audio_buffer.commit(event_id="mine")
        event = connection.recv()
        assert event.error.code == "input_audio_buffer_commit_empty"
        assert event.error.event_id == "mine"
        assert "20 ms" in event.error.message


def test_semantic_turns_are_told_to_be_found_by_silence(client: openai.OpenAI) -> None:
    with client.realtime.connect() as connection:
        connection.recv()
        asked = {"type": "semantic_vad", "eagerness": "low"}
        connection.session.update(session=update(turn_detection=asked))
        told = connection.recv().session.audio.input.turn_detection
        assert (told.type, told.silence_duration_ms) == ("server_vad", 2000)


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ({"input_audio_format": "pcm16"}, "audio.input.format"),
        ({"input_audio_transcription": {"model": "en"}}, "audio.input.transcription"),
        ({"turn_detection": None}, "audio.input.turn_detection"),
    ],
)
def test_settings_of_the_beta_are_refused_with_their_present_place(
    client: openai.OpenAI, setting: dict[str, Any], place: str
) -> None:
    with client.realtime.connect() as connection:
        connection.recv()
        connection.session.update(session={"type": "transcription", **setting})  # type: ignore
        error = connection.recv().error
        assert error.message.endswith(f"use {place}")
        assert error.param == f"session.{next(iter(setting))}"


def test_a_browser_may_offer_subprotocols(address: str) -> None:
    offered = ["realtime", "openai-insecure-api-key.any"]
    with connect(f"ws://{address}/v1/realtime", subprotocols=offered) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol == "realtime"
        assert json.loads(socket.recv())["type"] == "session.created"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": 1}', "[" * 9999, b"\0\0", "nul"])
def test_what_is_no_message_is_told_of(address: str, text: str | bytes) -> None:
    with connect(f"ws://{address}/v1/realtime") as socket:
        socket.recv()
        socket.send(text)
        assert json.loads(socket.recv())["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_ends_the_connection_with_its_reason(address: str) -> None:
    with connect(f"ws://{address}/v1/realtime?model=large-{'%E5%8C%97' * 99}") as socket:
        error = json.loads(socket.recv())["error"]
        assert error["param"] == "session.audio.input.transcription.model"
        assert '"large-北北' in error["message"]
        with pytest.raises(ConnectionClosedError) as caught:
            socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008


def test_a_full_server_says_so(recognizers: dict[str, Recognizer]) -> None:
    with listening(recognizers, ServeSettings(max_streams=1)) as at:
        url = f"ws://{at}/v1/realtime"
        audio = base64.b64encode(bytes(9600)).decode()
        with connect(url) as first, connect(url) as second:
            for socket in (first, second):
                socket.recv()
            first.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            first.send(json.dumps({"type": "x"}))
            assert json.loads(first.recv())["type"] == "error"  # so the model has heard it
            second.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            assert json.loads(second.recv())["error"]["code"] == "server_overloaded"
            with pytest.raises(ConnectionClosedError) as caught:
                second.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1013


def test_a_client_secret_opens_a_session_and_nothing_else(
    recognizers: dict[str, Recognizer],
) -> None:
    with listening(recognizers, ServeSettings(api_keys=(KEY,))) as at:
        url = f"http://{at}/v1"
        with openai.OpenAI(base_url=url, api_key=KEY) as client:
            session: Any = update(transcription={"language": "zh"}, turn_detection=None)
            made = client.realtime.client_secrets.create(
                expires_after={"anchor": "created_at", "seconds": 60}, session=session
            )
            assert made.session.type == "transcription"
        with openai.OpenAI(base_url=url, api_key=made.value, max_retries=0) as browser:
            with browser.realtime.connect() as connection:
                told = connection.recv().session.audio.input
                assert (told.transcription.model, told.turn_detection) == ("zh", None)
            with pytest.raises(openai.AuthenticationError):
                browser.models.list()
        for key in (made.value[:-1], "ek_", "ek_a.b", "other"):
            stranger = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
            with stranger, pytest.raises(InvalidStatus), stranger.realtime.connect():
                pass


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"session": 3}',
        b'{"expires_after": {"seconds": 3}}',
        b'{"session": {"audio": {"input": {"turn_detection": 1}}}}',
        b'{"session": {"type": "transcription", "prompt": "' + b"a" * 4096 + b'"}}',
    ],
)
def test_a_secret_is_not_made_of_what_is_wrong(address: str, body: bytes) -> None:
    answer = httpx.post(f"http://{address}/v1/realtime/client_secrets", content=body)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_secrets_expire_and_are_good_for_one_set_of_keys() -> None:
    secrets = ClientSecrets(["one", "two"])
    value, _ = secrets.mint({"a": 1}, 60)
    assert ClientSecrets(["two", "one"]).session_of(value) == {"a": 1}
    assert not ClientSecrets(["one"]).is_valid(value)
    assert not secrets.is_valid(secrets.mint({}, 0)[0])


@st.composite
def segments(draw: st.DrawFn) -> tuple[list[Event], str, str]:
    """A stream's events of one segment, its text and why it ended."""
    text = " ".join(draw(st.lists(st.text("ab", min_size=1, max_size=3), max_size=4)))
    events: list[Event] = []
    if text or draw(st.booleans()):
        events.append(SpeechStart(0.0))
    for end in sorted(draw(st.lists(st.integers(0, len(text)), max_size=3))):
        events.append(Partial(text[:end], draw(st.sampled_from(["", "x"]))))
    words = tuple(Word(word, 0.0, 0.0, 1.0) for word in text.split())
    events.append(Final(Transcript(words, 1.0, "en")))
    reason = draw(st.sampled_from(["silence", "pause", "length", "commit", "clear"]))
    return events, text, "pause" if text and reason == "silence" else reason


@given(parts=st.lists(segments(), max_size=5), by_server=st.booleans())
def test_deltas_of_every_item_make_up_its_transcript(
    parts: list[tuple[list[Event], str, str]], by_server: bool
) -> None:
    kept = [part for part in parts if by_server or part[2] in ("commit", "clear")]
    chosen = SessionSettings() if by_server else SessionSettings(turns=None)
    turns = Turns(chosen)
    turns.begin_stream()
    told: list[Message] = []
    for events, _, reason in kept:
        turns.heard_s += 1.0
        if reason in ("commit", "clear"):
            turns.request(reason, None)  # type: ignore[arg-type]
        why = "request" if reason in ("commit", "clear") else reason
        for event in [*events, Endpoint(turns.heard_s, why)]:  # type: ignore[arg-type]
            told += turns.take(event)
    expected = [
        text
        for events, text, reason in kept
        if reason == "commit"
        or (reason != "clear" and (text or isinstance(events[0], SpeechStart)))
    ]
    completed = [each for each in told if each["type"].endswith(".completed")]
    assert [each["transcript"] for each in completed] == expected
    for each in completed:
        deltas = [other for other in told if other["type"].endswith(".delta")]
        own = [other["delta"] for other in deltas if other["item_id"] == each["item_id"]]
        assert "".join(own) == each["transcript"]
    committed = [each for each in told if each["type"].endswith(".committed")]
    ids = [each["item_id"] for each in committed]
    assert ids == [each["item_id"] for each in completed]
    assert [each["previous_item_id"] for each in committed] == [None, *ids][: len(ids)]
    cleared = [each for each in told if each["type"].endswith(".cleared")]
    assert len(cleared) == sum(reason == "clear" for _, _, reason in kept)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        *("session", "audio", "input", "format", "type", "rate", "transcription", "model"),
        *("language", "languages", "prompt", "keywords", "turn_detection", "include", "threshold"),
        *("silence_duration_ms", "eagerness", "input_audio_format", "input_audio_transcription"),
    ]
)
TYPES = st.sampled_from(
    [
        *("session.update", "input_audio_buffer.append"),
        *("input_audio_buffer.commit", "input_audio_buffer.clear", "nonsense"),
    ]
)


def nested(depth: int) -> st.SearchStrategy[Mapping[str, Any]]:
    inner = VALUES | nested(depth - 1) if depth else VALUES
    return st.dictionaries(KEYS, inner, max_size=4)


@given(messages=st.lists(st.tuples(TYPES, nested(4)), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_no_messages_make_a_session_fail(
    address: str, messages: list[tuple[str, Mapping[str, Any]]]
) -> None:
    with connect(f"ws://{address}/v1/realtime") as socket:
        for kind, fields in messages:
            socket.send(json.dumps({**fields, "type": kind}))
        socket.send(json.dumps({"type": "last", "event_id": "last"}))
        while (event := json.loads(socket.recv(timeout=10))).get("error", {}).get(
            "event_id"
        ) != "last":
            assert "500" not in str(event.get("error", {}).get("message"))
