"""Deepgram's interface, with Deepgram's own client and a real server."""

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1 import (
    ListenV1Metadata,
    ListenV1Results,
    ListenV1SpeechStarted,
    ListenV1UtteranceEnd,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from aids.listening import listening, serving
from ds2 import Recognizer, Transcript, read_audio
from ds2.audio import Waveform
from ds2.serving.config import ServeSettings
from ds2.serving.engine.refused import Refused
from ds2.serving.protocols.deepgram.query import Query, query_of

# Their client imports parts of websockets that are deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")

SAMPLE = Path(__file__).parents[3] / "samples" / "en-1.ogg"
KEY = "a-key-for-tests"
RAW = {"encoding": "linear16", "sample_rate": 16_000}
RAW_FILE = {"encoding": "linear16"}
PIECE = 6400  # bytes: 0.2 s


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("en")


@pytest.fixture(scope="module")
def address(recognizer: Recognizer) -> Iterator[str]:
    options = ServeSettings(api_keys=(KEY,), drain_s=0, max_upload_bytes=4 << 20)
    with listening({"en": recognizer}, options) as at:
        yield at


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[DeepgramClient]:
    with client_of(address, KEY) as client:
        yield client


@contextmanager
def client_of(address: str, key: str) -> Iterator[DeepgramClient]:
    """The real client with another host, as in docs/reference/other-clients.md."""
    http, ws = f"http://{address}", f"ws://{address}"
    place = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
    with httpx.Client() as connections:  # which their client would not close
        yield DeepgramClient(api_key=key, environment=place, httpx_client=connections)


@pytest.fixture(scope="module")
def waveform() -> Waveform:
    """The sample, rounded to 16-bit integers."""
    return (np.rint(read_audio(SAMPLE) * 32767) / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def pcm(waveform: Waveform) -> bytes:
    return (waveform * 32768).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def said(recognizer: Recognizer, waveform: Waveform) -> Transcript:
    """The text of `ds2 transcribe` for the same samples."""
    return recognizer.transcribe(waveform)


def listened(client: DeepgramClient, audio: bytes, **options: Any) -> list[Any]:
    """All messages of a stream."""
    with client.listen.v1.connect(model="nova-3", **options) as socket:
        for start in range(0, len(audio), PIECE):
            socket.send_media(audio[start : start + PIECE])
        socket.send_keep_alive()
        socket.send_close_stream()
        return list(socket)


def text_of(messages: list[Any]) -> str:
    """The text of the final results."""
    results = [each for each in messages if isinstance(each, ListenV1Results) and each.is_final]
    return " ".join(filter(None, (each.channel.alternatives[0].transcript for each in results)))


def test_a_stream_gets_the_transcript_and_then_its_metadata(
    client: DeepgramClient, pcm: bytes, said: Transcript
) -> None:
    messages = listened(client, pcm, **RAW)
    *results, metadata = messages
    assert all(isinstance(each, ListenV1Results) and each.is_final for each in results)
    assert said.text
    assert text_of(results) == said.text
    words = [word for each in results for word in each.channel.alternatives[0].words]
    assert [(word.word, word.start, word.end) for word in words] == [
        (word.text, word.start_s, word.end_s) for word in said.words
    ]
    assert isinstance(metadata, ListenV1Metadata)
    assert metadata.duration == pytest.approx(len(pcm) / 32_000, abs=0.001)
    assert {each.metadata.request_id for each in results} == {metadata.request_id}
    assert len(metadata.sha256) == 64


def test_interim_results_grow_into_the_final_one(
    client: DeepgramClient, pcm: bytes, said: Transcript
) -> None:
    messages = listened(client, pcm, **RAW, interim_results=True)
    interim = [each for each in messages if isinstance(each, ListenV1Results) and not each.is_final]
    assert interim
    assert all(not each.speech_final for each in interim)
    assert text_of(messages) == said.text


def test_pauses_end_speech_and_are_told_of(
    client: DeepgramClient, pcm: bytes, said: Transcript
) -> None:
    silence = bytes(32_000 * 2)
    events = {"vad_events": True, "utterance_end_ms": 1000, "endpointing": 500}
    messages = listened(client, pcm + silence + pcm + silence, **RAW, **events)
    finals = [each for each in messages if isinstance(each, ListenV1Results)]
    spoken = [each for each in finals if each.channel.alternatives[0].transcript]
    assert spoken[-1].speech_final
    assert any(each.start + each.duration < said.duration_s + 2 for each in spoken)
    starts = [each for each in messages if isinstance(each, ListenV1SpeechStarted)]
    assert len(starts) >= 2
    ends = [each for each in messages if isinstance(each, ListenV1UtteranceEnd)]
    last_words = {each.channel.alternatives[0].words[-1].end for each in spoken}
    assert len(ends) >= 2
    assert {each.last_word_end for each in ends} <= last_words


def test_without_endpointing_nothing_ends_speech_but_the_end(
    client: DeepgramClient, pcm: bytes
) -> None:
    messages = listened(client, pcm + bytes(80_000) + pcm, **RAW, endpointing="false")
    assert not any(each.speech_final for each in messages if isinstance(each, ListenV1Results))


def test_finalize_is_answered_at_once(client: DeepgramClient, pcm: bytes, said: Transcript) -> None:
    with client.listen.v1.connect(model="nova-3", **RAW) as socket:
        socket.send_media(pcm)
        socket.send_finalize()
        results = []
        while not (results and results[-1].from_finalize):
            results.append(socket.recv())
        assert text_of(results) == said.text
        socket.send_media(pcm)
        socket.send_close_stream()
        assert text_of(list(socket))


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_telephone_audio_is_understood(
    client: DeepgramClient, recognizer: Recognizer, waveform: Waveform, encoding: str
) -> None:
    file = io.BytesIO()
    subtype = {"mulaw": "ULAW", "alaw": "ALAW"}[encoding]
    soundfile.write(file, waveform[::2], 8000, format="RAW", subtype=subtype)
    wav = io.BytesIO()
    soundfile.write(wav, waveform[::2], 8000, format="WAV", subtype=subtype)
    messages = listened(client, file.getvalue(), encoding=encoding, sample_rate=8000)
    assert text_of(messages) == recognizer.transcribe(wav.getvalue()).text


def test_a_wav_file_needs_no_encoding(
    client: DeepgramClient, waveform: Waveform, said: Transcript
) -> None:
    wav = io.BytesIO()
    soundfile.write(wav, waveform, 16_000, format="WAV", subtype="PCM_16")
    assert text_of(listened(client, wav.getvalue())) == said.text
    assert text_of(listened(client, wav.getvalue(), **RAW)) == said.text


def test_a_container_is_decoded_as_it_arrives(
    client: DeepgramClient, recognizer: Recognizer
) -> None:
    data = SAMPLE.read_bytes()  # Opus, as browsers record it
    with client.listen.v1.connect(model="nova-3", interim_results=True) as socket:
        socket.send_media(data[: len(data) * 3 // 4])
        assert isinstance(socket.recv(), ListenV1Results)
        socket.send_media(data[len(data) * 3 // 4 :])
        socket.send_close_stream()
        assert text_of(list(socket)) == recognizer.transcribe(SAMPLE).text


def doubted(said: Transcript) -> str:
    """A word of another reading of the sample, which what was said lacks."""
    readings = Recognizer.load("en", num_alternatives=5).transcribe(SAMPLE).alternatives
    words = (word for reading in readings for word in reading.text.split())
    return next(word for word in words if word not in said.text.split())


def test_alternatives_and_phrases_are_taken(
    client: DeepgramClient, pcm: bytes, said: Transcript
) -> None:
    other = doubted(said)
    extra = {"additional_query_parameters": {"alternatives": 3}}
    messages = listened(client, pcm, **RAW, keyterm=[other], request_options=extra)
    assert other in text_of(messages).split()
    first = next(each for each in messages if isinstance(each, ListenV1Results))
    confidences = [each.confidence for each in first.channel.alternatives]
    assert len(confidences) == 3
    assert confidences == sorted(confidences, reverse=True)
    assert other in text_of(listened(client, pcm, **RAW, keywords=f"{other}:5")).split()


def test_a_recording_gets_the_transcript(
    client: DeepgramClient, recognizer: Recognizer, pcm: bytes, said: Transcript
) -> None:
    answer = client.listen.v1.media.transcribe_file(
        request=SAMPLE.read_bytes(), model="nova-3", smart_format=True, utterances=True
    )
    expected = recognizer.transcribe(SAMPLE)
    best = answer.results.channels[0].alternatives[0]
    assert best.transcript == expected.text
    assert [word.start for word in best.words or []] == [word.start_s for word in expected.words]
    assert [each.transcript for each in answer.results.utterances or []] == [
        each.text for each in expected.segments()
    ]
    assert answer.metadata.duration == pytest.approx(expected.duration_s, abs=0.001)
    raw = client.listen.v1.media.transcribe_file(
        request=pcm,
        encoding="linear16",
        request_options={"additional_query_parameters": {"sample_rate": 16_000}},
    )
    assert raw.results.channels[0].alternatives[0].transcript == said.text


def test_requests_that_cannot_be_done_are_refused_in_deepgrams_shape(
    address: str, client: DeepgramClient
) -> None:
    with pytest.raises(ApiError) as refused:
        client.listen.v1.media.transcribe_url(url="http://example.com/a.wav")
    assert refused.value.status_code == 400
    assert "fetches nothing" in refused.value.body["err_msg"]
    url, headers = f"http://{address}/v1/listen", {"Authorization": f"Token {KEY}"}
    for query, data, status, told in (
        ("", b"no recording", 400, "not a recording"),
        ("", b"", 400, "is empty"),
        ("model=big", b"x", 404, 'no model "big"'),
        ("redact=pci", b"x", 400, "redact: this server does not do that"),
        ("language=tlh", b"x", 400, 'no model of language "tlh"'),
        ("encoding=linear16", b"xyz", 400, "the audio ended within a sample"),
        ("encoding=opus", b"xyz", 400, "encoding: must be linear16, mulaw, alaw"),
        ("encoding=linear16&sample_rate=1", b"xy", 400, "sample rate of 1 Hz"),
    ):
        answer = httpx.post(f"{url}?{query}", content=data, headers=headers)
        assert answer.status_code == status, told
        assert told in answer.json()["err_msg"], answer.json()
        assert answer.json()["request_id"] == answer.headers["dg-request-id"]


def test_a_wrong_key_is_refused(address: str, pcm: bytes) -> None:
    with client_of(address, "another-key") as stranger:
        with pytest.raises(ApiError) as refused:
            stranger.listen.v1.media.transcribe_file(request=pcm)
        assert refused.value.status_code == 401
        with (
            pytest.raises((ApiError, InvalidStatus)),
            stranger.listen.v1.connect(model="nova-3", **RAW),
        ):
            pass


def connected(address: str, query: str = "encoding=linear16", **options: Any) -> ClientConnection:
    return connect(
        f"ws://{address}/v1/listen?{query}",
        additional_headers={"Authorization": f"Token {KEY}"},
        **options,
    )


def received(client: ClientConnection) -> list[dict[str, Any]]:
    """All messages until the server closes."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(client.recv(timeout=120)))
    return messages


@pytest.mark.parametrize(
    ("query", "messages", "told"),
    [
        ("encoding=linear16", ["hello"], "must be JSON"),
        ("encoding=linear16", ["[]"], "must be a JSON object"),
        ("encoding=linear16", ['{"type": "Stop"}'], "type: must be KeepAlive"),
        ("encoding=linear16", [b"abc", '{"type": "CloseStream"}'], "ended within a sample"),
        ("", [b"OggS" + bytes(100), '{"type": "CloseStream"}'], "not a recording"),
        ("", [b"RIFF\0\0\0\0WAVEdata\0\0\0\0"], "before its samples"),
    ],
)
def test_what_is_wrong_within_a_stream_is_told_and_ends_it(
    address: str, query: str, messages: list[str | bytes], told: str
) -> None:
    with connected(address, query) as client:
        for message in messages:
            client.send(message)
        last = received(client)[-1]
    assert last["type"] == "Error"
    assert told in last["description"]
    assert client.protocol.close_code in (1007, 1008)
    assert told in (client.protocol.close_reason or "")


@pytest.fixture(scope="module")
def call(waveform: Waveform) -> np.ndarray:
    """Two speakers; the second begins a second later."""
    late = np.concatenate([np.zeros(16_000, np.float32), waveform])
    return np.stack([np.pad(waveform, (0, 16_000)), late], axis=1)


def test_a_recording_of_several_channels_has_a_transcript_of_each(
    client: DeepgramClient, recognizer: Recognizer, call: np.ndarray
) -> None:
    file = io.BytesIO()
    soundfile.write(file, call, 16_000, format="WAV", subtype="FLOAT")
    expected = recognizer.transcribe(call, channels="split")
    raw = (call * 32768).astype("<i2").tobytes()
    of_samples = {"channels": 2, "sample_rate": 16_000}
    for body, options, more in ((file.getvalue(), {}, {}), (raw, RAW_FILE, of_samples)):
        answer = client.listen.v1.media.transcribe_file(
            request=body,
            multichannel=True,
            utterances=True,
            request_options={"additional_query_parameters": more},
            **options,
        )
        assert answer.metadata.channels == 2
        told = [each.alternatives[0].transcript for each in answer.results.channels]
        assert told == [each.text for each in expected.channels]
        assert all(told)
        places = [(each.channel, each.transcript) for each in answer.results.utterances]
        assert places == [(each.channel - 1, each.text) for each in expected.segments()]


@pytest.mark.parametrize("multichannel", ["true", "false"])
def test_a_live_stream_of_several_channels(
    address: str, call: np.ndarray, said: Transcript, multichannel: str
) -> None:
    query = f"encoding=linear16&sample_rate=16000&channels=2&multichannel={multichannel}"
    samples = call if multichannel == "true" else call[:, :1] * [1, -1]  # they cancel each other
    raw = (samples * 32767).astype("<i2").tobytes()
    with connected(address, query) as client:
        for start in range(0, len(raw), 6401):  # within samples, too
            client.send(raw[start : start + 6401])
        client.send(json.dumps({"type": "CloseStream"}))
        messages = received(client)
    places = [[0, 2], [1, 2]] if multichannel == "true" else [[0, 1]]
    for place in places:
        finals = [
            each["channel"]["alternatives"][0]["transcript"]
            for each in messages
            if each["type"] == "Results" and each["is_final"] and each["channel_index"] == place
        ]
        assert said.text.split()[2] in " ".join(finals).split()  # segments end elsewhere live
    assert messages[-1]["type"] == "Metadata"
    assert messages[-1]["channels"] == len(places)


def test_a_handshake_that_is_refused_says_why(address: str, recognizer: Recognizer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connected(address, "channels=99&encoding=linear16")
    assert refused.value.response.status_code == 400
    assert refused.value.response.headers["dg-error"].startswith("channels: ")
    with (
        serving({"en": recognizer}, ServeSettings(max_streams=1, drain_s=0)) as (at, _),
        connect(f"ws://{at}/v1/listen?encoding=linear16"),
        pytest.raises(InvalidStatus) as busy,
    ):
        connect(f"ws://{at}/v1/listen?encoding=linear16")
    assert busy.value.response.status_code == 503


def test_a_server_that_shuts_down_tells_the_last_words(
    recognizer: Recognizer, pcm: bytes, said: Transcript
) -> None:
    with ExitStack() as server:
        at = server.enter_context(listening({"en": recognizer}, ServeSettings(drain_s=0)))
        client = connect(f"ws://{at}/v1/listen?encoding=linear16&interim_results=true")
        client.send(pcm)
        client.recv(timeout=120)
        server.close()
        *_, final, error = received(client)
    assert final["is_final"]
    assert said.text.startswith(final["channel"]["alternatives"][0]["transcript"][:10])
    assert error["description"] == "the server is shutting down"
    assert client.protocol.close_code == 1013


def test_a_browsers_key_comes_as_a_subprotocol_and_an_empty_message_ends_a_stream(
    address: str,
) -> None:
    url = f"ws://{address}/v1/listen?encoding=linear16"
    with connect(url, subprotocols=["token", KEY]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "token"
        client.send(b"")
        assert [each["type"] for each in received(client)] == ["Results", "Metadata"]


def test_phrases_cannot_change_in_the_middle(address: str) -> None:
    with connected(address) as client:
        client.send('{"type": "Configure", "keyterms": ["one"]}')
        assert json.loads(client.recv(timeout=120))["type"] == "ConfigureFailure"
        client.send('{"type": "CloseStream"}')
        assert received(client)[-1]["type"] == "Metadata"


@settings(max_examples=25, deadline=None)
@given(
    messages=st.lists(
        st.binary(max_size=200)
        | st.text(max_size=10)
        | st.builds(
            lambda kind: json.dumps({"type": kind}),
            st.sampled_from(["KeepAlive", "Finalize", "Configure", "Stop", None, 3]),
        ),
        max_size=6,
    ),
    query=st.sampled_from(["encoding=linear16", "encoding=mulaw&interim_results=1", ""]),
)
def test_any_messages_end_in_a_close_never_in_a_hang(
    address: str, messages: list[bytes | str], query: str
) -> None:
    with connected(address, query) as client:
        with suppress(ConnectionClosed):
            for message in (*messages, '{"type": "CloseStream"}'):
                client.send(message)
        assert received(client)[-1]["type"] in ("Metadata", "Error")
    assert client.protocol.close_code in (1000, 1007, 1008)


names = st.sampled_from(
    [
        *("model", "language", "encoding", "sample_rate", "channels", "interim_results"),
        *("endpointing", "utterance_end_ms", "vad_events", "alternatives", "keyterm", "keywords"),
        *("callback", "utterances", "anything"),
    ]
)
values = st.text(max_size=12) | st.sampled_from(["true", "false", "1000", "nova-3", "linear16"])


@settings(deadline=None)
@given(st.lists(st.tuples(names, values), max_size=6))
def test_any_query_is_taken_or_refused(pairs: list[tuple[str, str]]) -> None:
    with suppress(Refused):
        query = query_of(QueryParams(pairs), ("en",))
        assert isinstance(query, Query)
        assert query.num_alternatives >= 1
