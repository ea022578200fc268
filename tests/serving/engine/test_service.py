"""The server as its clients meet it: our protocol, keys, limits, errors, signals."""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
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
from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.audio.samples import Samples
from ds2.cli import main
from ds2.errors import InputError
from ds2.model.bundle import Bundle
from ds2.recognition.recognizer import Recognizer
from ds2.serving.access.keys import KeyRing, read_keys
from ds2.serving.access.rates import RateLimit
from ds2.serving.config import ServeSettings
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import StreamOptions
from ds2.serving.logs import JsonFormatter
from ds2.serving.protocols.native import Start
from ds2.transcripts.events import Final

KEY = "correct horse".replace(" ", "-")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_random_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def recognizer(bundle: Bundle) -> Recognizer:
    return Recognizer(bundle)


@pytest.fixture(scope="module")
def at(recognizer: Recognizer) -> Iterator[str]:
    """A server with small limits, and no key."""
    limits = ServeSettings(
        max_streams=3, max_message_bytes=100_000, max_upload_bytes=50_000, drain_s=0
    )
    with listening({"tiny": recognizer}, limits) as place:
        yield place


@pytest.fixture(scope="module")
def locked(recognizer: Recognizer) -> Iterator[str]:
    """A server with keys, and pages that may connect."""
    limits = ServeSettings(api_keys=("another-key", KEY), allowed_origins=("https://ours.example",))
    with listening({"tiny": recognizer}, limits) as place:
        yield place


def noise(num_samples: int, seed: int = 0) -> Waveform:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


@contextmanager
def opened(at: str, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    with connect(f"ws://{at}/v1/stream{query}", **options) as websocket:
        yield websocket


def started(websocket: ClientConnection, **options: Any) -> dict[str, Any]:
    """The answer to a start."""
    websocket.send(json.dumps({"type": "start", **options}))
    answer: dict[str, Any] = json.loads(websocket.recv(120))
    return answer


def rest_of(websocket: ClientConnection) -> list[dict[str, Any]]:
    """What still comes, until the server closes."""
    messages = []
    try:
        while True:
            messages.append(json.loads(websocket.recv(120)))
    except ConnectionClosed:
        return messages


def refused_with(at: str, query: str = "", **options: Any) -> int:
    """The status of a handshake that is turned down."""
    with pytest.raises(InvalidStatus) as caught, opened(at, query, **options):
        pass
    return caught.value.response.status_code


# Our protocol


@pytest.mark.parametrize("encoding", ["f32le", "s16le"])
def test_a_stream_gives_what_the_whole_gives(
    at: str, recognizer: Recognizer, encoding: str
) -> None:
    waveform = (np.rint(noise(50_001) * 32768) / 32768).astype(np.float32)
    data = waveform.tobytes()
    if encoding == "s16le":
        data = np.rint(waveform * 32768).astype("<i2").tobytes()
    with opened(at) as websocket:
        ready = started(websocket, encoding=encoding, endpoints=False)
        assert (ready["type"], ready["model"], ready["language"]) == ("ready", "tiny", "en")
        for position in range(0, len(data), 4999):  # cuts samples in two
            websocket.send(data[position : position + 4999])
        websocket.send('{"type": "finish"}')
        messages = rest_of(websocket)
    assert messages[-1] == {"type": "done"}
    final = messages[-2]
    whole = recognizer.transcribe(waveform)
    assert final["text"] == whole.text
    assert [(each["start"], each["end"]) for each in final["words"]] == [
        (word.start_s, word.end_s) for word in whole.words
    ]
    assert final["heard_s"] == pytest.approx(len(waveform) / SAMPLE_RATE_HZ, abs=0.03)
    assert [each["type"] for each in messages].count("final") == 1


def test_several_segments_by_request(at: str) -> None:
    with opened(at) as websocket:
        started(websocket, encoding="f32le", endpoints=False)
        for seed in range(2):
            websocket.send(noise(SAMPLE_RATE_HZ, seed).tobytes())
            websocket.send('{"type": "flush"}')
        websocket.send('{"type": "keep_alive"}')
        websocket.send('{"type": "finish"}')
        messages = rest_of(websocket)
    reasons = [each["reason"] for each in messages if each["type"] == "endpoint"]
    assert reasons == ["request", "request"]
    assert messages[-1] == {"type": "done"}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("no JSON", "must be JSON"),
        ("[1]", "must be a JSON object"),
        ("[" * 90_000, "must be JSON"),
        ('{"type": "strat"}', 'first message must be {"type": "start"}'),
        (b"\0\0", 'first message must be {"type": "start"}'),
        ('{"type": "start", "modle": "en"}', "start: modle: unknown key (known here: "),
        ('{"type": "start", "model": "nope"}', 'no model "nope": there are tiny'),
        ('{"type": "start", "model": 5}', "start: model: "),
        ('{"type": "start", "language": "tlh"}', 'no model of language "tlh"'),
        ('{"type": "start", "sample_rate_hz": 12}', "it must be 2000 to"),
        ('{"type": "start", "sample_rate_hz": 1e99}', "start: sample_rate_hz: "),
        ('{"type": "start", "encoding": "mp3"}', "start: encoding"),
        ('{"type": "start", "phrases": ["日"]}', "the model cannot spell"),
        ('{"type": "start", "phrases": [{"text": "a", "wieght": 2}]}', "phrases: wieght: unknown"),
        ('{"type": "start", "phrases": [{"text": "a", "weight": 1e999}]}', "must be a finite"),
        ('{"type": "start", "alternatives": 1000}', "alternatives: must be 0 to"),
        ('{"type": "start", "endpoints": {"silense_s": 1}}', "endpoints: silense_s: unknown key"),
    ],
)
def test_a_wrong_start_is_answered_with_what_is_wrong(
    at: str, message: str | bytes, told: str
) -> None:
    with opened(at) as websocket:
        websocket.send(message)
        [error] = rest_of(websocket)
    assert error["type"] == "error"
    assert error["status"] in (400, 404)
    assert told in error["message"]
    assert websocket.protocol.close_code == 1008


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('{"type": "stop"}', 'type: must be "flush", "finish" or "keep_alive", not "stop"'),
        ("{", "must be JSON"),
        (np.full(8, np.nan, np.float32).tobytes(), "not sound"),
        (np.full(8, 20_000, np.float32).tobytes(), "float samples must be in [-1, 1]"),
    ],
)
def test_a_wrong_message_later_on_is_answered_too(at: str, message: str | bytes, told: str) -> None:
    with opened(at) as websocket:
        started(websocket, encoding="f32le")
        websocket.send(message)
        error = rest_of(websocket)[-1]
    assert (error["type"], error["status"]) == ("error", 400)
    assert told in error["message"]


def test_nothing_may_follow_the_finish(at: str) -> None:
    with opened(at) as websocket:
        started(websocket)
        websocket.send('{"type": "finish"}')
        websocket.send('{"type": "finish"}')  # twice is no harm
        assert rest_of(websocket)[-1] == {"type": "done"}


def test_a_message_that_is_too_long_closes_the_stream(at: str) -> None:
    with opened(at) as websocket:
        started(websocket)
        websocket.send(bytes(100_001))
        rest_of(websocket)
    assert websocket.protocol.close_code == 1009


MESSAGES = st.one_of(
    st.binary(max_size=3000),
    st.text(max_size=100),
    st.sampled_from(["flush", "finish", "keep_alive", "start"]).map(
        lambda kind: json.dumps({"type": kind})
    ),
    st.dictionaries(
        st.sampled_from([field.name for field in fields(Start)]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=4,
        ),
    ).map(lambda fields: json.dumps({"type": "start"} | fields)),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(messages=st.lists(MESSAGES, max_size=6))
def test_whatever_comes_is_answered_and_the_server_lives(at: str, messages: list[str]) -> None:
    with opened(at) as websocket:
        try:
            for message in messages:
                websocket.send(message)
            websocket.send('{"type": "finish"}')
        except ConnectionClosed:
            pass
        *_, last = rest_of(websocket)
    assert last == {"type": "done"} or last["status"] in (400, 404, 503)  # never the server's fault
    assert httpx.get(f"http://{at}/health").json()["status"] == "ok"


# Limits


def test_streams_beyond_the_most_are_turned_down_and_room_is_made_again(at: str) -> None:
    with opened(at) as first, opened(at) as second, opened(at) as third:
        for websocket in (first, second, third):
            assert started(websocket)["type"] == "ready"
        assert httpx.get(f"http://{at}/ready").json() == {"status": "full"}
        with opened(at) as fourth:
            error = started(fourth)
            rest_of(fourth)
        assert (error["status"], fourth.protocol.close_code) == (503, 1013)
        assert error["message"] == "all 3 streams are taken: try again later"
        first.socket.shutdown(2)  # gone without a word
        while httpx.get(f"http://{at}/ready").status_code != 200:
            pass
    while httpx.get(f"http://{at}/health").json()["streams"]:
        pass


def test_who_sends_nothing_is_closed(recognizer: Recognizer) -> None:
    limits = ServeSettings(idle_timeout_s=0.2)
    with listening({"tiny": recognizer}, limits) as at, opened(at) as websocket:
        started(websocket)
        rest_of(websocket)
        assert websocket.protocol.close_code == 1008
        assert websocket.protocol.close_reason == "nothing came for 0.2 s"


@pytest.mark.slow
def test_who_waits_for_a_model_that_is_behind_is_not_closed(recognizer: Recognizer) -> None:
    limits = ServeSettings(idle_timeout_s=0.3, max_buffer_s=3600.0)
    samples = (noise(16_000 * 30) * 32767).astype("<i2").tobytes()
    with listening({"tiny": recognizer}, limits) as at, opened(at) as websocket:
        started(websocket, partials=False, endpoints=False)
        for _ in range(20):  # the model needs a second or more for ten minutes
            websocket.send(samples)
        websocket.send('{"type": "finish"}')
        messages = rest_of(websocket)
    assert messages[-1]["type"] == "done"
    assert messages[-2]["heard_s"] == 600.0


def test_requests_have_a_rate(recognizer: Recognizer) -> None:
    with listening({"tiny": recognizer}, ServeSettings(requests_per_minute=2)) as at:
        for _ in range(2):
            assert httpx.get(f"http://{at}/metrics").status_code == 200
        answer = httpx.get(f"http://{at}/metrics")
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused_with(at) == 429
        assert httpx.get(f"http://{at}/health").status_code == 200  # is free


def test_buckets_fill_again() -> None:
    rates = RateLimit(60_000)
    assert all(rates.wait_s("a") == 0 for _ in range(60_000))
    wait_s = rates.wait_s("a")
    assert 0 <= wait_s <= 0.001
    assert rates.wait_s("b") == 0


def test_bodies_have_a_size(at: str) -> None:
    answer = httpx.post(f"http://{at}/metrics", content=bytes(50_001))
    assert answer.status_code == 413
    assert "larger than 50000 bytes" in answer.json()["error"]["message"]


def test_bodies_that_do_not_tell_their_size_have_one_too(at: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    answer = httpx.post(
        f"http://{at}/v1/audio/transcriptions",
        content=iter([head, *[bytes(10_000)] * 6, b"\r\n--x--\r\n"]),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code == 413
    assert "larger than 50000 bytes" in answer.json()["error"]["message"]


def test_bodies_that_stop_coming_are_not_waited_for(recognizer: Recognizer) -> None:
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    with listening({"tiny": recognizer}, ServeSettings(idle_timeout_s=0.2)) as at:
        host, port = at.split(":")
        with socket.create_connection((host, int(port)), timeout=120) as client:
            client.sendall(head.encode())
            answer = client.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 408 ")
    assert "nothing of the request came for 0.2 s" in answer


async def in_step(service: Service) -> list[bool]:
    """For each of some messages, whether its chunk was with the model once it had caught up."""
    taken = []
    async with await service.open(StreamOptions(endpoints=None)) as session:
        for num_fed in range(1, 6):
            await session.feed(noise(4000))  # two chunks, and a bit
            await session.catch_up()
            taken.append(num_fed * 0.25 - session.heard_s < 0.15)
        await session.feed(noise(10))
        await session.catch_up()  # there is nothing to wait for
    await service.close()
    return taken


def test_clients_in_lock_step_can_wait_for_what_they_sent(recognizer: Recognizer) -> None:
    service = Service({"tiny": recognizer}, ServeSettings(chunk_ms=120))
    assert asyncio.run(in_step(service)) == [True] * 5


async def told_late(service: Service, waveform: Waveform) -> list[float]:
    """The audio that waits after each feed."""
    waiting = []
    async with await service.open(StreamOptions(endpoints=None)) as session:
        for _ in range(40):
            await session.feed(waveform)
            waiting.append(session.line.waiting_s)
        await session.finish()
        async for _ in session.events():
            pass
    await service.close()
    return waiting


def test_a_fast_sender_waits_rather_than_fill_the_memory(recognizer: Recognizer) -> None:
    service = Service({"tiny": recognizer}, ServeSettings(max_buffer_s=5.0))
    waiting = asyncio.run(told_late(service, noise(SAMPLE_RATE_HZ)))
    assert max(waiting) <= 5.0


# Keys and origins


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"headers": {"Authorization": f"Token {KEY}"}},
        {"headers": {"X-API-Key": KEY}},
        {"params": {"api_key": KEY}},
        {"headers": {"Authorization": "Bearer wrong-key", "X-API-Key": KEY}},
    ],
)
def test_a_key_opens_wherever_clients_put_it(locked: str, options: dict[str, Any]) -> None:
    assert httpx.get(f"http://{locked}/metrics", **options).status_code == 200


def test_without_the_key_all_but_the_page_is_shut(locked: str) -> None:
    answer = httpx.get(f"http://{locked}/metrics", headers={"Authorization": "Bearer wrong-key"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(f"http://{locked}/nowhere").status_code == 401
    assert refused_with(locked) == 401
    with pytest.raises(InvalidStatus, match="401"), connect(f"ws://{locked}/"):
        pass
    for path in ("/health", "/ready"):
        assert httpx.get(f"http://{locked}{path}").status_code == 200


def test_browsers_send_the_key_as_a_subprotocol(locked: str) -> None:
    offered = ["ds2", f"openai-insecure-api-key.{KEY}"]
    with opened(locked, subprotocols=offered) as websocket:
        assert websocket.subprotocol == "ds2"
        assert started(websocket)["type"] == "ready"


def test_pages_of_other_hosts_may_not_connect(at: str, locked: str) -> None:
    key = {"X-API-Key": KEY}
    assert refused_with(at, origin="https://evil.example") == 403
    assert refused_with(locked, origin="https://evil.example", additional_headers=key) == 403
    posted = httpx.post(f"http://{at}/metrics", headers={"Origin": "https://evil.example"})
    assert posted.status_code == 403
    for place, origin in ((at, f"http://{at}"), (locked, "https://ours.example")):
        with opened(place, origin=origin, additional_headers=key) as websocket:
            assert started(websocket)["type"] == "ready"


def test_browsers_are_told_of_allowed_origins_alone(locked: str, at: str) -> None:
    for place, origin, allowed in (
        (locked, "https://ours.example", "https://ours.example"),
        (locked, "https://evil.example", None),
        (at, "https://ours.example", None),
    ):
        answer = httpx.get(f"http://{place}/health", headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{KEY}\n\n  other-key-2 \n")
    keys = KeyRing(read_keys(file))
    assert keys.holds("other-key-2")
    assert not keys.holds("other-key-")
    file.write_text("short\n")
    with pytest.raises(InputError, match="key 1: must be 8 or more printable"):
        read_keys(file)


# What is told of it


def test_errors_have_one_shape(at: str) -> None:
    answer = httpx.get(f"http://{at}/nowhere")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "there is nothing at /nowhere"
    assert httpx.post(f"http://{at}/health").status_code == 405


def test_metrics_count_streams_steps_and_time(at: str) -> None:
    with opened(at) as websocket:
        started(websocket, endpoints=False)
        websocket.send(bytes(2 * SAMPLE_RATE_HZ))
        websocket.send('{"type": "finish"}')
        rest_of(websocket)
    text = httpx.get(f"http://{at}/metrics").text
    for name in ("step_seconds", "decode_seconds", "queueing_seconds", "latency_seconds"):
        assert f'ds2_{name}_bucket{{le="0.07",model="tiny"}}' in text
    assert 'ds2_streams{kind="live",model="tiny"} 0.0' in text
    assert 'ds2_streams_ended_total{ending="finished",model="tiny"}' in text


@pytest.mark.parametrize("log_transcripts", [True, False])
def test_the_log_holds_transcripts_only_if_asked_to_and_keys_never(
    recognizer: Recognizer, caplog: pytest.LogCaptureFixture, log_transcripts: bool
) -> None:
    caplog.set_level(logging.INFO)
    limits = ServeSettings(log_transcripts=log_transcripts, api_keys=(KEY,))
    with listening({"tiny": recognizer}, limits) as at, opened(at, f"?api_key={KEY}") as websocket:
        started(websocket, endpoints=False)
        websocket.send(np.rint(noise(30_000) * 32768).astype("<i2").tobytes())
        websocket.send('{"type": "finish"}')
        text = next(each["text"] for each in rest_of(websocket) if each["type"] == "final")
    ours = [record for record in caplog.records if record.name.startswith("ds2")]
    lines = [json.loads(JsonFormatter().format(record)) for record in ours]
    [ended] = [line for line in lines if line["message"] == "stream ended"]
    assert (ended["ending"], ended["audio_s"]) == ("finished", 1.88)
    assert (ended.get("text") == text) == log_transcripts
    assert KEY not in json.dumps(lines)


# Samples


def test_the_telephones_bytes_are_those_of_its_standard() -> None:
    """Values of G.711's tables: the loudest, the softest, and their signs."""
    mulaw = Samples("mulaw").feed(bytes([0x00, 0x80, 0x7F, 0xFF, 0x8F]))
    assert (mulaw * 32768).tolist() == [-32124, 32124, 0, 0, 16764]
    alaw = Samples("alaw").feed(bytes([0xD5, 0x55, 0xAA, 0x2A]))
    assert (alaw * 32768).tolist() == [8, -8, 32256, -32256]


# Shutting down


async def drained(recognizer: Recognizer, drain_s: float) -> tuple[list[object], Refused | None]:
    """What the reader of a stream hears that is open when the server shuts down."""
    service = Service({"tiny": recognizer}, ServeSettings(drain_s=drain_s))
    heard: list[object] = []
    refused = None
    async with await service.open(StreamOptions(endpoints=None)) as session:
        await session.feed(noise(SAMPLE_RATE_HZ))
        draining = asyncio.create_task(service.drain())
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="shutting down"):
            await service.open(StreamOptions())
        if drain_s:
            await session.feed(noise(SAMPLE_RATE_HZ))
            await session.finish()
        try:
            heard = [event async for event in session.events()]
        except Refused as error:
            refused = error
        await draining
    await service.close()
    return heard, refused


def test_what_runs_at_a_shutdown_may_end(recognizer: Recognizer) -> None:
    heard, refused = asyncio.run(drained(recognizer, 20))
    assert refused is None
    assert isinstance(heard[-1], Final)
    assert heard[-1].transcript.duration_s == 2.0


def test_what_does_not_end_is_ended(recognizer: Recognizer) -> None:
    _, refused = asyncio.run(drained(recognizer, 0))
    assert refused is not None
    assert refused.status == 503


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_serves_and_stops_at_sigterm(bundle: Bundle, workers: int) -> None:
    """From outside: a process of its own; a stream that is open at the signal still ends well."""
    command = [sys.executable, "-c", "from ds2.cli import main; raise SystemExit(main())", "serve"]
    options = ["-m", f"tiny={bundle.path}", "--port", "0", "--workers", str(workers)]
    server = subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert server.stderr is not None
    at = ""
    for line in server.stderr:
        record = json.loads(line)
        if record["message"].startswith("listening on http://"):
            at = record["message"].split()[2].removeprefix("http://")
            break
    with opened(at) as websocket:
        started(websocket, endpoints=False, encoding="f32le")
        assert 'ds2_streams{kind="live",model="tiny"} 1.0' in httpx.get(f"http://{at}/metrics").text
        websocket.send(noise(20_000).tobytes())
        server.send_signal(signal.SIGTERM)
        while "shutting down" not in server.stderr.readline():
            pass
        websocket.send(noise(12_000).tobytes())
        websocket.send('{"type": "finish"}')
        messages = rest_of(websocket)
    assert messages[-2]["duration_s"] == 2.0
    _, rest = server.communicate(timeout=120)
    assert server.returncode == 0
    assert "rror" not in rest.replace("uvicorn.error", "")


def test_bad_options_are_told_in_a_line(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["serve", "-m", str(bundle.path)]
    for options, told in (
        (["--max-buffer-s", "0.5"], "--max-buffer-s: must be at least 5, not 0.5"),
        (["--port", "70000"], "--port: must be 0 to 65535"),
        (["--tls-cert", "x.pem"], "--tls-cert: needs tls_key"),
        (["-m", str(bundle.path)], "needs a name of its own"),
        (["--api-keys", str(tmp_path / "none")], "no such file"),
        (["--host", "192.0.2.1"], "192.0.2.1:8000: cannot be listened on"),
    ):
        assert main([*model, *options]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl, to make a certificate")
def test_tls_serves_who_trusts_the_certificate(recognizer: Recognizer, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {cert}"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made.split(), *names], check=True, capture_output=True)
    trusting = ssl.create_default_context(cafile=cert)
    with listening({"tiny": recognizer}, ServeSettings(tls_cert=cert, tls_key=key)) as at:
        assert httpx.get(f"https://{at}/health", verify=trusting).status_code == 200
        with connect(f"wss://{at}/v1/stream", ssl=trusting) as websocket:
            assert started(websocket)["type"] == "ready"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://{at}/health")


def test_the_first_model_that_fits_is_taken(recognizer: Recognizer) -> None:
    with serving({"one": recognizer, "two": recognizer}) as (at, service):
        assert list(service.models) == ["one", "two"]
        for options, model in (
            ({}, "one"),
            ({"model": "two"}, "two"),
            ({"language": "en-US"}, "one"),
        ):
            with opened(at) as websocket:
                assert started(websocket, **options)["model"] == model
