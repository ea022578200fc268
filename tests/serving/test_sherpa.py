"""sherpa-onnx's protocol: its own C++ client, and the messages of its other clients."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from aids.listening import listening, serving
from aids.models import write_random_bundle
from ds2 import Recognizer, Transcript, read_audio
from ds2.audio import Waveform, write_wav
from ds2.serving.config import ServeSettings

SAMPLE = Path(__file__).parents[2] / "samples" / "en-1.ogg"
NAME = "sherpa-onnx-online-websocket-client"
CLIENT = shutil.which(NAME, path=str(Path(sys.executable).parent)) or shutil.which(NAME)
ONLINE_KEYS = {
    *("text", "tokens", "timestamps", "ys_probs", "lm_probs", "context_scores", "segment"),
    *("words", "start_time", "is_final", "is_eof"),
}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("en")


@pytest.fixture(scope="module")
def port(recognizer: Recognizer) -> Iterator[int]:
    """The address of a server; the C++ client cannot use a path."""
    with listening({"en": recognizer}) as at:
        yield int(at.split(":")[1])


@pytest.fixture(scope="module")
def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/sherpa"


@pytest.fixture(scope="module")
def waveform() -> Waveform:
    """The sample, rounded to 16-bit integers."""
    return (np.rint(read_audio(SAMPLE) * 32767) / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def said(recognizer: Recognizer, waveform: Waveform) -> Transcript:
    """The text of `ds2 transcribe` for the same samples."""
    return recognizer.transcribe(waveform)


def text_of(messages: list[dict[str, Any]]) -> str:
    """The text of all segments."""
    return " ".join(each["text"] for each in messages if each["is_final"] and each["text"])


def received(client: ClientConnection) -> list[str]:
    """All messages until the server closes."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(str(client.recv(timeout=120)))
    return messages


def close_of(client: ClientConnection) -> tuple[int | None, str | None]:
    received(client)
    return client.protocol.close_code, client.protocol.close_reason


def send_in_pieces(client: ClientConnection, data: bytes, size: int = 10_240) -> None:
    for start in range(0, len(data), size):
        client.send(data[start : start + size])


@pytest.mark.skipif(CLIENT is None, reason="needs sherpa-onnx-bin")
def test_the_cpp_client_gets_the_transcript(
    port: int, waveform: Waveform, said: Transcript, tmp_path: Path
) -> None:
    path = tmp_path / "said.wav"
    write_wav(path, waveform)
    options = [f"--server-port={port}", "--seconds-per-message=0.01", "--samples-per-message=3200"]
    assert CLIENT is not None
    done = subprocess.run(
        [CLIENT, *options, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    printed = [line[line.index("{") :] for line in done.stderr.splitlines() if "{" in line]
    messages = [json.loads(each) for each in printed]
    assert all(each.keys() == ONLINE_KEYS for each in messages)
    assert said.text
    assert text_of(messages) == said.text
    assert [each["is_eof"] for each in messages] == [False] * (len(messages) - 1) + [True]
    assert "Disconnected" in done.stderr  # after Done!


def test_times_count_from_the_start_of_a_segment(
    url: str, waveform: Waveform, said: Transcript
) -> None:
    silence = np.zeros(3 * 16_000, np.float32)
    with connect(url) as client:
        send_in_pieces(client, np.concatenate([waveform, silence, waveform]).tobytes())
        client.send("Done")
        *told, last = received(client)
    assert last == "Done!"
    finals = [each for each in map(json.loads, told) if each["is_final"] and each["text"]]
    assert len(finals) == 2
    first, second = finals
    assert first["text"] == said.text
    assert [token.strip() for token in first["tokens"]] == [word.text for word in said.words]
    assert first["timestamps"] == [word.start_s for word in said.words]
    assert second["segment"] > first["segment"]
    assert second["start_time"] >= said.duration_s
    shift_s = said.duration_s + 3 - second["start_time"]
    assert abs(second["timestamps"][0] - shift_s - said.words[0].start_s) < 0.5


def test_the_address_may_name_a_model_or_a_language(
    recognizer: Recognizer, waveform: Waveform, said: Transcript, tmp_path: Path
) -> None:
    mandarin = Recognizer(write_random_bundle(tmp_path, language="zh"))
    with listening({"en": recognizer, "other": mandarin}, ServeSettings(drain_s=0)) as at:
        heard = {}
        for place in ("", "sherpa", "?model=other", "sherpa?language=zh-CN"):
            with connect(f"ws://{at}/{place}") as client:
                send_in_pieces(client, waveform.tobytes())
                client.send("Done")
                heard[place] = text_of([json.loads(each) for each in received(client)[:-1]])
        assert heard == {
            "": said.text,
            "sherpa": said.text,
            "?model=other": mandarin.transcribe(waveform).text,
            "sherpa?language=zh-CN": mandarin.transcribe(waveform).text,
        }
        with connect(f"ws://{at}/sherpa?model=third") as client:
            assert close_of(client) == (1008, 'no model "third": there are en, other')


def test_done_without_audio_is_answered(url: str) -> None:
    with connect(url) as client:
        client.send("Done")
        told, *rest = received(client)
    assert json.loads(told)["is_eof"]
    assert rest == ["Done!"]


@pytest.mark.parametrize(
    ("messages", "code", "told"),
    [
        (["Hello"], 1008, 'Invalid payload: the only text is "Done", not "Hello"'),
        ([b"\0" * 9, "{}"], 1008, "Invalid payload"),
        ([np.full(4, np.nan, "<f4").tobytes()], 1008, "not sound"),
        ([np.full(4, 900.0, "<f4").tobytes()], 1008, "float samples must be in [-1, 1]"),
        ([b"\0" * 9, "Done"], 1007, "the audio ended within a sample"),
    ],
)
def test_what_is_wrong_is_told_in_the_close(
    url: str, messages: list[str | bytes], code: int, told: str
) -> None:
    with connect(url) as client:
        for message in messages:
            client.send(message)
        found, reason = close_of(client)
    assert told in (reason or "")
    assert found == code


def test_a_full_server_says_so_and_a_browser_is_told_what_this_is(recognizer: Recognizer) -> None:
    with (
        serving({"en": recognizer}, ServeSettings(max_streams=1, drain_s=0)) as (at, service),
        connect(f"ws://{at}/sherpa") as client,
    ):
        client.send(bytes(64_000))
        for _ in range(2000):
            if not service.is_ready:
                break
            time.sleep(0.01)
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://{at}/sherpa")
        assert refused.value.response.status_code == 503
        assert refused.value.response.body == b"The server is busy. Please retry later."
        answer = httpx.get(f"http://{at}/sherpa")
        assert answer.status_code == 426
        assert f"ws://{at}/sherpa" in answer.text


@settings(max_examples=25, deadline=None)
@given(messages=st.lists(st.binary(max_size=200) | st.text(max_size=10), max_size=6))
def test_any_messages_end_in_a_close_never_in_a_hang(url: str, messages: list[bytes | str]) -> None:
    with connect(url) as client:
        with suppress(ConnectionClosed):
            for message in (*messages, "Done"):
                client.send(message)
        code, _ = close_of(client)
    assert code in (1000, 1007, 1008, 1009)
