"""Clients that send wrong data: every endpoint answers, and works as before.

DS2_FUZZ_EXAMPLES=1000 tries 1000 examples of each kind.
"""

import json
import logging
import socket
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import schemathesis
from hypothesis import example, given, note
from hypothesis import strategies as st
from schemathesis import GenerationMode
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from aids import fuzzing
from aids.fuzzing import BOUND_S, MOST_BYTES, few
from aids.listening import serving
from aids.models import write_random_bundle
from aids.openapi import DESCRIPTION
from ds2.audio import read_audio
from ds2.ctc.phrases import HotPhrase
from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings
from ds2.serving.engine.service import Service

pytestmark = pytest.mark.slow

GOOD = fuzzing.wav(fuzzing.noise(16_000, seed=9))


class FaultsTold(logging.Handler):
    """Keeps the log records of a server's own faults."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("websockets."):
            return  # a warning of the client, whose socket was cut
        if record.exc_info and record.exc_info[0] is not None:
            self.told.append("".join(traceback.format_exception(*record.exc_info)))
        elif record.levelno >= logging.ERROR:
            self.told.append(record.getMessage())


@dataclass
class Target:
    """A server for fuzzing."""

    at: str
    service: Service
    text: str  # text of the good recording
    faults: FaultsTold

    def check(self) -> None:
        """Check that nothing is open and nothing went wrong."""
        deadline_s = time.monotonic() + BOUND_S
        while self.service.num_sessions and time.monotonic() < deadline_s:
            time.sleep(0.001)
        assert not self.service.num_sessions, "a stream is left open"
        told, self.faults.told = self.faults.told, []
        assert not told, "\n".join(told)

    def check_well(self) -> None:
        """Check that other clients are served as before."""
        self.check()
        files = {"file": ("good.wav", GOOD)}
        answer = httpx.post(f"http://{self.at}/v1/audio/transcriptions", files=files, timeout=30)
        assert answer.json()["text"] == self.text
        with connect(f"ws://{self.at}/v1/stream") as client:
            client.send('{"type": "start", "endpoints": false}')
            client.send(GOOD[44:])
            client.send('{"type": "finish"}')
            messages = [json.loads(message) for message in client]
        assert [each["text"] for each in messages if each["type"] == "final"] == [self.text]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    recognizer = Recognizer(write_random_bundle(tmp_path_factory.mktemp("tiny")))
    text = recognizer.transcribe(read_audio(GOOD)).text
    recognizer.warm_up()
    recognizer.stream(phrases=[HotPhrase("a")]).feed(read_audio(GOOD))  # this also compiles
    assert text
    limits = ServeSettings(
        max_streams=8,
        max_message_bytes=MOST_BYTES,
        max_upload_bytes=MOST_BYTES,
        drain_s=0,
    )
    faults = FaultsTold()
    logging.getLogger().addHandler(faults)
    with serving({"tiny": recognizer}, limits) as (at, service):
        yield Target(at, service, text, faults)
    logging.getLogger().removeHandler(faults)


@pytest.fixture(autouse=True)
def _goes_on(target: Target) -> Iterator[None]:
    """After each test a good client gets the right text."""
    yield
    target.check_well()


# Conversations by WebSocket

SESSION: dict[str, Any] = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": {
                "model": "tiny",
                "language": "en",
                "prompt": "a, b",
                "keywords": ["a"],
            },
            "turn_detection": fuzzing.VAD,
            "noise_reduction": None,
        }
    },
    "include": ["item.input_audio_transcription.logprobs"],
}
PATIENT = {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}
START: dict[str, Any] = {
    "type": "start",
    "model": "tiny",
    "language": "en",
    "sample_rate_hz": 16_000,
    "encoding": "s16le",
    "phrases": ["hello", {"text": "there", "weight": 2}],
    "endpoints": {"silence_s": 2.4, "pause_s": 1.2, "longest_s": 20},
    "alternatives": 1,
    "partials": True,
    "live": True,
}
VOSK = {
    "sample_rate": 8000,
    "words": True,
    "max_alternatives": 2,
    "phrase_list": ["hello", "[unk]"],
    "model": "tiny",
}
LISTEN_QUERY: dict[str, Sequence[str]] = {
    "model": ("tiny", "nova-2", "none"),
    "language": ("en", "zh"),
    "encoding": ("linear16", "linear16", "mulaw", "opus"),
    "sample_rate": ("8000", "16000", "0", "999999999"),
    "channels": ("1", "2", "x"),
    "interim_results": ("true", "maybe"),
    "endpointing": ("false", "300", "999999999", "-1"),
    "utterance_end_ms": ("1000", "1"),
    "vad_events": ("true",),
    "alternatives": ("0", "3", "999999999"),
    "keywords": ("hello:2", "日", ":"),
    "keyterm": ("hello", "日"),
    "callback": ("http://localhost",),
}
MODEL_QUERY = {"model": ("tiny", "none"), "language": ("en", "zh"), "intent": ("transcription",)}


@dataclass(frozen=True)
class Endpoint:
    """A WebSocket, the messages there, and the message that ends a conversation."""

    path: str
    templates: Sequence[Any]  # for text messages
    last_word: str
    last_answer: str = "an answer that never comes: the server hangs up"
    openings: Sequence[str] = ()
    query: Mapping[str, Sequence[str]] = field(default_factory=lambda: MODEL_QUERY)
    headers: Mapping[str, str] = field(default_factory=dict)


ENDPOINTS = {
    "ours": Endpoint(
        "/v1/stream",
        [START, *({"type": kind} for kind in ("flush", "finish", "keep_alive", "start"))],
        '{"type": "finish"}',
        openings=[
            '{"type": "start"}',
            '{"type": "start", "encoding": "f32le", "endpoints": false}',
        ],
    ),
    "realtime": Endpoint(
        "/v1/realtime",
        [
            {"type": "session.update", "session": SESSION, "event_id": "one"},
            {"type": "session.update", "session": {"audio": {"input": PATIENT}}},
            *({"type": f"input_audio_buffer.{verb}"} for verb in ("append", "commit", "clear")),
            *(
                {"type": "input_audio_buffer.append", "audio": fuzzing.base64_of(data)}
                for data in (fuzzing.noise(4000), fuzzing.noise(700)[1:], b"\0")
            ),
            {"type": "response.create"},
        ],
        '{"type": "a.last.word"}',
        "a.last.word",
    ),
    "vosk": Endpoint(
        "/vosk", [{"config": VOSK}, {"eof": 1}, {"reset": 1}, {"words": 1}], '{"eof": 1}'
    ),
    "sherpa": Endpoint("/sherpa", ["Done", {"Done": 1}], "Done"),
    "sherpa without a path": Endpoint("/", ["Done", {"Done": 1}], "Done"),
    "deepgram": Endpoint(
        "/v1/listen",
        [{"type": kind} for kind in ("KeepAlive", "Finalize", "CloseStream", "Configure")],
        '{"type": "CloseStream"}',
        query=LISTEN_QUERY,
    ),
}


@st.composite
def queries(draw: st.DrawFn, known: Mapping[str, Sequence[str]]) -> str:
    """A query with a few keys, most of them with sensible values."""
    keys = draw(st.lists(st.sampled_from(sorted(known)), max_size=3))
    odd = st.sampled_from(["", "日", "\0", "9" * 400, "-1", "1e9", "nan"])
    usual = [st.sampled_from(known[key]) for key in keys]
    values = [draw(odd if draw(st.integers(0, 7)) == 7 else each) for each in usual]
    return urlencode(list(zip(keys, values, strict=True)))


def messages_to(endpoint: Endpoint) -> st.SearchStrategy[list[str | bytes]]:
    """A conversation, with a right or a wrong beginning."""
    opening = st.sampled_from([[], *([each] for each in endpoint.openings)])
    message = st.one_of(
        fuzzing.texts(endpoint.templates),
        fuzzing.texts(endpoint.templates),
        st.just(fuzzing.noise(8000)),
        fuzzing.AUDIO,
    )
    talk = st.lists(message, max_size=6)
    return st.tuples(opening, talk).map(lambda pair: [*pair[0], *pair[1]])


@pytest.mark.parametrize("name", ENDPOINTS)
def test_whatever_is_said_by_websocket_gets_an_end_and_no_fault(target: Target, name: str) -> None:
    endpoint = ENDPOINTS[name]

    @few(40)
    @given(
        query=queries(endpoint.query),
        messages=messages_to(endpoint),
        ending=st.sampled_from(["last word", "last word", "close", "cut"]),
    )
    def talk(query: str, messages: Sequence[str | bytes], ending: str) -> None:
        code = talked(f"ws://{target.at}{endpoint.path}?{query}", endpoint, messages, ending)
        note(f"closed with {code}")
        assert code not in (1011, 500)
        target.check()

    talk()


HALF_A_PAIR = '"\\ud800"'
PAIRLESS = f'{{"type": {HALF_A_PAIR}, "model": {HALF_A_PAIR}}}'
NO_WORD = '{"type": "session.update", "session": {"turn_detection": %s}}'


@pytest.mark.parametrize(
    ("name", "query", "messages"),
    [
        ("ours", "", [PAIRLESS]),
        ("ours", "", ['{"type": "start"}', PAIRLESS]),
        ("ours", "", ['{"type": "start"}', b"A" * (MOST_BYTES + 1)]),
        ("vosk", "", [f'{{"config": {PAIRLESS}}}', bytes(2000)]),
        ("realtime", "", [PAIRLESS]),
        ("realtime", "", [NO_WORD % '{"type": "semantic_vad", "eagerness": ["low"]}']),
        ("realtime", "", [NO_WORD % ("[" * 400 + "]" * 400)]),
        ("deepgram", "alternatives=%07", []),
    ],
)
def test_what_once_was_a_fault_is_none(
    target: Target, name: str, query: str, messages: Sequence[str | bytes]
) -> None:
    endpoint = ENDPOINTS[name]
    url = f"ws://{target.at}{endpoint.path}?{query}"
    assert talked(url, endpoint, messages, "last word") not in (1011, 500)


def talked(
    url: str, endpoint: Endpoint, messages: Sequence[str | bytes], ending: str
) -> int | None:
    """Have a talk, to its end; the code that it was closed with, or a handshake's status."""
    try:
        client = connect(url, open_timeout=BOUND_S, close_timeout=BOUND_S, compression=None)
    except InvalidStatus as refused:
        return refused.response.status_code
    with client, suppress(ConnectionClosed):
        for message in messages:
            client.send(message)
        if ending == "cut":
            with suppress(OSError):  # the server may have closed already
                client.socket.shutdown(socket.SHUT_RDWR)
        elif ending == "last word":
            client.send(endpoint.last_word)
            while endpoint.last_answer not in str(client.recv(BOUND_S)):
                pass
    with suppress(ConnectionClosed):  # the messages of the server before it closed
        while True:
            client.recv(BOUND_S)
    return client.protocol.close_code


@few(30)
@given(
    endpoint=st.sampled_from(list(ENDPOINTS.values())),
    frames=st.lists(fuzzing.frames(), max_size=6),
    lost=st.integers(0, 3),
)
def test_whatever_frames_come_the_connection_ends_without_fault(
    target: Target, endpoint: Endpoint, frames: Sequence[bytes], lost: int
) -> None:
    data = b"".join(frames)
    data = data[: len(data) - lost]
    answer = fuzzing.exchange(target.at, fuzzing.HANDSHAKE % endpoint.path.encode() + data)
    assert fuzzing.statuses(answer)[:1] == [101]
    assert 1011 not in fuzzing.close_codes(answer)
    target.check()


# Requests by HTTP

SECRETS = fuzzing.texts(
    [{"session": SESSION, "expires_after": {"seconds": 60}}, {"session": {}}, PATIENT]
)


@example(request=b"POST /v1/listen HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n")
@few(40)
@given(request=fuzzing.requests(SECRETS))
def test_whatever_bytes_come_as_a_request_no_answer_is_a_500(
    target: Target, request: bytes
) -> None:
    answer = fuzzing.exchange(target.at, request)
    note(repr(answer[:500]))
    assert all(status < 500 for status in fuzzing.statuses(answer))
    target.check()


@few(40)
@given(body=fuzzing.multiparts())
def test_whatever_a_form_holds_it_is_answered(target: Target, body: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=edge"}
    url = f"http://{target.at}/v1/audio/transcriptions"
    answer = httpx.post(url, content=body, headers=kind, timeout=BOUND_S)
    note(answer.text[:500])
    assert answer.status_code in (200, 400, 404, 413)
    target.check()


@few(40)
@given(body=SECRETS)
def test_whatever_a_session_is_asked_to_be_it_is_answered(target: Target, body: str) -> None:
    url = f"http://{target.at}/v1/realtime/client_secrets"
    answer = httpx.post(url, content=body.encode(), timeout=BOUND_S)
    note(answer.text[:500])
    assert answer.status_code in (200, 400, 404, 413)
    target.check()


OPERATIONS = {
    operation.ok().label: operation.ok()
    for operation in schemathesis.openapi.from_dict(DESCRIPTION).get_all_operations()
}


@pytest.mark.parametrize("label", OPERATIONS)
def test_requests_as_described_and_near_it_are_answered(target: Target, label: str) -> None:
    modes = [GenerationMode.POSITIVE]
    if label.startswith("POST"):  # other addresses have no input that could be wrong
        modes.append(GenerationMode.NEGATIVE)
    cases = [OPERATIONS[label].as_strategy(generation_mode=mode) for mode in modes]

    @few(8)
    @given(case=st.one_of(cases))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call(base_url=f"http://{target.at}", timeout=BOUND_S)
        note(answer.text[:500])
        assert answer.status_code < 500
        target.check()

    ask()
