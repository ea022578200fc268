"""vosk-server's protocol as its own clients use it, with a real server."""

import io
import json
import socket
import struct
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import websocket  # websocket-client, which asr-test-client.py of vosk-server uses
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from aids.listening import listening, serving
from ds2 import Recognizer, Transcript, read_audio
from ds2.audio import write_wav
from ds2.serving.config import ServeSettings
from ds2.serving.engine.refused import Refused
from ds2.serving.protocols.vosk import Config
from ds2.serving.wire.wav_stream import HeaderOff, wav_form

SAMPLE = Path(__file__).parents[2] / "samples" / "en-1.ogg"
CONFIG = '{ "config" : { "sample_rate" : %d } }'
EOF = '{"eof" : 1}'
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("en", greedy=True)


@pytest.fixture(scope="module")
def url(recognizer: Recognizer) -> Iterator[str]:
    with listening({"en": recognizer}) as at:
        yield f"ws://{at}/vosk"


@pytest.fixture(scope="module")
def pcm() -> bytes:
    """The sample in 16-bit integers at 16 kHz."""
    return pcm_of(read_audio(SAMPLE))


@pytest.fixture(scope="module")
def said(recognizer: Recognizer, pcm: bytes) -> Transcript:
    """The text of `ds2 transcribe` for the same samples."""
    return recognizer.transcribe(np.frombuffer(pcm, "<i2") * np.float32(2.0**-15))


def pcm_of(waveform: np.ndarray) -> bytes:
    return np.clip(np.rint(waveform * 32768), -32768, 32767).astype("<i2").tobytes()


def pieces(data: bytes, size: int = 6400) -> Iterator[bytes]:
    """Pieces of 0.2 s, as vosk-server's clients read a file."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def in_lock_step(
    client: ClientConnection, data: bytes, end: str | bytes = EOF
) -> list[dict[str, Any]]:
    """Send and receive alternately, as all clients of vosk-server do."""
    replies = []
    for message in (*pieces(data), end):
        client.send(message)
        replies.append(json.loads(client.recv(timeout=120)))
    return replies


def text_of(replies: list[dict[str, Any]]) -> str:
    """The text of the results."""
    return " ".join(filter(None, (reply.get("text", "") for reply in replies)))


def close_of(client: ClientConnection) -> tuple[int, str]:
    """The code and reason of the server's close, after all other messages."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(timeout=120)
    assert client.protocol.close_code is not None
    return client.protocol.close_code, client.protocol.close_reason or ""


def test_every_piece_gets_one_reply_and_the_results_are_the_transcript(
    url: str, pcm: bytes, said: Transcript
) -> None:
    with connect(url) as client:
        client.send(CONFIG % 16_000)
        replies = in_lock_step(client, pcm)
        assert close_of(client) == (1000, "")
    assert said.text
    assert text_of(replies) == said.text
    assert any(reply.get("partial") for reply in replies)
    words = [word for reply in replies for word in reply.get("result", [])]
    assert [(word["word"], word["start"], word["end"]) for word in words] == [
        (word.text, word.start_s, word.end_s) for word in said.words
    ]
    assert all(0 <= word["conf"] <= 1 for word in words)


def test_the_client_in_the_package_websocket_client_gets_the_same(
    url: str, pcm: bytes, said: Transcript
) -> None:
    client = websocket.create_connection(url, timeout=120)
    client.send(CONFIG % 16_000)
    replies = []
    for piece in pieces(pcm):
        client.send_binary(piece)
        replies.append(json.loads(client.recv()))
    client.send(EOF)
    replies.append(json.loads(client.recv()))
    client.close()
    assert text_of(replies) == said.text


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
def test_a_whole_wav_file_without_a_config_is_read_at_its_own_rate(
    url: str, recognizer: Recognizer, tmp_path: Path, rate_hz: int
) -> None:
    path = tmp_path / "said.wav"
    write_wav(path, read_audio(SAMPLE)[:: 16_000 // rate_hz], rate_hz)
    with connect(url) as client:
        replies = in_lock_step(client, path.read_bytes() + b"LIST\4\0\0\0tags")
    assert text_of(replies) == recognizer.transcribe(path).text


def test_samples_without_a_config_are_taken_as_8_khz(url: str, recognizer: Recognizer) -> None:
    waveform = read_audio(SAMPLE)[::2]
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(pcm_of(waveform))
    with connect(url) as client:
        replies = in_lock_step(client, pcm_of(waveform))
    assert text_of(replies) == recognizer.transcribe(file.getvalue()).text


def test_a_client_that_does_not_wait_gets_as_many_replies(
    url: str, pcm: bytes, said: Transcript
) -> None:
    with connect(url) as client:
        client.send(CONFIG % 16_000)
        messages = [*pieces(pcm), EOF]
        for message in messages:
            client.send(message)
        replies = [json.loads(client.recv(timeout=120)) for _ in messages]
        assert close_of(client) == (1000, "")
    assert text_of(replies) == said.text


def test_an_eof_may_come_as_bytes(url: str, pcm: bytes, said: Transcript) -> None:
    with connect(url) as client:
        client.send('{"config": {"sample_rate": "16000.0"}}')
        assert text_of(in_lock_step(client, pcm, b'{"eof": 1}\n')) == said.text


def test_a_reset_ends_the_segment_and_the_stream_goes_on(
    url: str, pcm: bytes, said: Transcript
) -> None:
    with connect(url) as client:
        client.send(CONFIG % 16_000)
        before = in_lock_step(client, pcm, '{"reset" : 1}')
        after = in_lock_step(client, pcm)
    assert text_of(before) == said.text
    assert text_of(after)
    first = next(reply for reply in after if reply.get("result"))["result"][0]
    assert first["start"] >= said.duration_s


def test_words_can_be_left_out(url: str, pcm: bytes, said: Transcript) -> None:
    with connect(url) as client:
        client.send('{"config": {"sample_rate": 16000, "words": 0}}')
        replies = in_lock_step(client, pcm)
    assert text_of(replies) == said.text
    assert not any("result" in reply for reply in replies)


def test_alternatives_have_texts_and_falling_scores(url: str, pcm: bytes) -> None:
    with connect(url) as client:
        client.send('{"config": {"sample_rate": 16000, "max_alternatives": 5}}')
        last = in_lock_step(client, pcm)[-1]
    assert 1 < len(last["alternatives"]) <= 5
    scores = [each["confidence"] for each in last["alternatives"]]
    assert scores == sorted(scores, reverse=True)
    best = last["alternatives"][0]
    assert best["text"] == " ".join(word["word"] for word in best["result"])


def test_phrases_are_heard_more_readily(url: str, pcm: bytes, said: Transcript) -> None:
    with connect(url) as client:
        client.send('{"config": {"sample_rate": 16000, "phrase_list": ["could", "[unk]"]}}')
        heard = text_of(in_lock_step(client, pcm))
    assert "could" in heard.split()
    assert "could" not in said.text.split()


def test_without_audio_the_result_is_empty(url: str) -> None:
    with connect(url) as client:
        assert in_lock_step(client, b"", '{"reset": 1}') == [{"text": ""}]
        assert in_lock_step(client, b"") == [{"text": ""}]


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (["hello"], "must be JSON"),
        (["[1]"], "must be a JSON object"),
        (["[" * 100_000], "must be JSON"),
        (['{"start": 1}'], '"config", "eof" or "reset"'),
        (['{"config": 3}'], "config: must be an object"),
        (['{"config": {"sample_rate": "fast"}}'], "sample_rate: must be a whole number"),
        (['{"config": {"sample_rate": 1e400}}'], "sample_rate: must be a whole number"),
        (['{"config": {"sample_rate": -8000}}', b"ab"], "sample rate of -8000"),
        (['{"config": {"sample_rate": 0}}', b"ab"], "sample rate of 0"),
        (['{"config": {"phrase_list": "one"}}'], "phrase_list: must be a list"),
        (['{"config": {"phrase_list": ["ж"]}}', b"ab"], "the model cannot spell ж"),
        (['{"config": {"model": "big"}}', b"ab"], 'no model "big"'),
        ([b"ab", '{"config": {"sample_rate": 16000}}'], "only words can change"),
    ],
)
def test_what_is_wrong_is_told_and_ends_the_connection(
    url: str, messages: list[str | bytes], told: str
) -> None:
    with connect(url) as client:
        for message in messages:
            client.send(message)
        replies = [json.loads(client.recv(timeout=120))]
        if b"ab" in messages[:-1]:
            replies.append(json.loads(client.recv(timeout=120)))
        code, reason = close_of(client)
    assert told in replies[-1]["error"]
    assert code == 1008
    assert reason in replies[-1]["error"]


def test_the_error_comes_with_the_last_words(url: str, pcm: bytes, said: Transcript) -> None:
    with connect(url) as client:
        client.send(CONFIG % 16_000)
        for piece in pieces(pcm):
            client.send(piece)
            client.recv(timeout=120)
        client.send("{")
        last = json.loads(client.recv(timeout=120))
    assert last["text"] == said.text
    assert last["error"] == "a text message must be JSON"


def test_a_split_sample_does_not_cost_the_result(url: str, pcm: bytes, said: Transcript) -> None:
    with connect(url) as client:
        client.send(CONFIG % 16_000)
        assert text_of(in_lock_step(client, pcm + b"x")) == said.text
        assert close_of(client) == (1007, "the audio ended within a sample: check its encoding")


def test_a_full_server_says_so_and_a_browser_is_told_what_this_is(recognizer: Recognizer) -> None:
    with (
        serving({"en": recognizer}, ServeSettings(max_streams=1, drain_s=0)) as (at, _),
        connect(f"ws://{at}/vosk") as client,
    ):
        client.send(b"ab")
        client.recv(timeout=120)
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://{at}/vosk")
        assert refused.value.response.status_code == 503
        assert b"busy" in (refused.value.response.body or b"")
        answer = httpx.get(f"http://{at}/vosk")
        assert answer.status_code == 426
        assert f"ws://{at}/vosk" in answer.text


@pytest.mark.parametrize(
    ("path", "audio"),
    [
        ("vosk", bytes(6400)),
        ("sherpa", bytes(6400)),
        ("sherpa", struct.pack("<ii", 16_000, 64_000) + bytes(6400)),
        ("v1/listen?encoding=linear16", bytes(6400)),
        ("v1/listen", SAMPLE.read_bytes()[:5000]),
    ],
)
def test_a_client_that_goes_away_leaves_nothing_behind(
    recognizer: Recognizer, path: str, audio: bytes
) -> None:
    with serving({"en": recognizer}, ServeSettings(drain_s=0)) as (at, service):
        client = connect(f"ws://{at}/{path}")
        client.send(audio)
        wait_for(lambda: service.num_sessions == 1)
        client.socket.shutdown(socket.SHUT_RDWR)  # without a message
        wait_for(lambda: service.num_sessions == 0)
        client.close()
        wait_for(lambda: not any(each.name == "container" for each in threading.enumerate()))


def wait_for(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


@settings(max_examples=25, deadline=None)
@given(
    messages=st.lists(
        st.binary(max_size=200)
        | st.text(max_size=20)
        | st.builds(json.dumps, json_values)
        | st.builds(lambda given: json.dumps({"config": given}), json_values)
        | st.sampled_from([CONFIG % 16_000, '{"reset": 1}', EOF]),
        max_size=6,
    )
)
def test_any_messages_get_replies_or_an_error_never_a_hang(
    url: str, messages: list[bytes | str]
) -> None:
    with connect(url) as client:
        try:
            for message in (*messages, EOF):
                client.send(message)
        except ConnectionClosed:
            pass
        code, _ = close_of(client)
    assert code in (1000, 1007, 1008)


@settings(deadline=None)
@given(
    given_config=st.dictionaries(
        st.sampled_from(["sample_rate", "words", "max_alternatives", "phrase_list", "model"]),
        json_values,
    )
)
def test_any_config_is_taken_or_refused(given_config: dict[str, Any]) -> None:
    with suppress(Refused):
        assert Config().updated(given_config).max_alternatives >= 0


@settings(deadline=None)
@given(data=st.data(), samples=st.binary(max_size=40), is_headed=st.booleans())
def test_a_header_is_taken_off_however_the_stream_is_cut(
    data: st.DataObject, samples: bytes, is_headed: bool
) -> None:
    file = io.BytesIO()
    if is_headed:
        with wave.open(file, "wb") as wav:
            wav.setparams((1, 2, 11_025, 0, "NONE", ""))
            wav.writeframes(samples[: len(samples) // 2 * 2])
    stream = file.getvalue() if is_headed else b"\1" + samples
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    header = HeaderOff()
    found = b"".join(
        header.feed(stream[start:stop])
        for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    )
    assert found == (samples[: len(samples) // 2 * 2] if is_headed else stream)
    assert (header.form is not None) == is_headed
    assert header.form is None or header.form.sample_rate_hz == 11_025


@settings(deadline=None)
@given(rest=st.binary(max_size=80))
def test_a_broken_header_is_refused_or_waited_for(rest: bytes) -> None:
    for tail in (rest, b"fmt \x10\0\0\0" + rest, b"fmt \x12\0\0\0\1\0\1\0" + rest):
        with suppress(Refused):
            form = wav_form(b"RIFF\0\0\0\0WAVE" + tail)
            assert form is None or form.start >= 44
