"""Recordings by HTTP: all protocols share one path, and work ends when its client leaves."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from aids import fuzzing
from aids.listening import serving
from aids.models import write_random_bundle
from ds2.audio import SAMPLE_RATE_HZ, write_wav
from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import StreamOptions

MULTIPART = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
RAW = "?encoding=linear16&sample_rate=16000"
PLACES = [
    ("/v1/audio/transcriptions", MULTIPART),
    ("/v1/listen", "audio/wav"),
    (f"/v1/listen{RAW}", "audio/raw"),
]
LONG_S = 3600.0


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(write_random_bundle(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def long_wav(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An hour, far more than the server recognises while a client leaves."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    minute = np.random.default_rng(0).normal(0, 0.1, 60 * SAMPLE_RATE_HZ).astype(np.float32)
    write_wav(path, np.tile(minute, round(LONG_S / 60)), SAMPLE_RATE_HZ)
    return path.read_bytes()


@pytest.fixture
def served(recognizer: Recognizer) -> Iterator[tuple[str, Service]]:
    settings = ServeSettings(
        max_streams=2, drain_s=0, max_upload_bytes=1 << 30, max_buffer_s=2 * LONG_S
    )
    with serving({"tiny": recognizer}, settings) as pair:
        yield pair


def wait_for(is_so: Callable[[], bool], most_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + most_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to be"
        time.sleep(0.01)


def head(path: str, kind: str, length: int) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def connected(at: str) -> socket.socket:
    host, port = at.split(":")
    return socket.create_connection((host, int(port)), timeout=20.0)


@pytest.mark.parametrize(("path", "kind"), PLACES)
def test_a_full_server_answers_before_the_recording_comes(
    served: tuple[str, Service], path: str, kind: str
) -> None:
    at, service = served
    with connected(at) as first, connected(at) as second, connected(at) as third:
        for client in (first, second):  # on their way: each already has a place
            client.sendall(head(path, kind, 100_000))
        wait_for(lambda: service.num_sessions == 2)
        third.sendall(head(path, kind, 100_000))  # and no byte of the body has come
        assert third.recv(100).startswith(b"HTTP/1.1 503 ")
    wait_for(lambda: service.num_sessions == 0)  # a client that is cut off frees its place


@pytest.mark.parametrize(("path", "kind"), PLACES)
def test_work_ends_with_its_client(
    served: tuple[str, Service], long_wav: bytes, path: str, kind: str
) -> None:
    at, service = served
    body = PART + long_wav + b"\r\n--b--\r\n" if kind == MULTIPART else long_wav
    with connected(at) as client:
        client.sendall(head(path, kind, len(body)) + body)
        wait_for(lambda: service.num_sessions == 1)
        time.sleep(0.2)  # the work has begun
    wait_for(lambda: service.num_sessions == 0, 10.0)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/listen"])
def test_places_are_given_back_whatever_the_upload_was(
    served: tuple[str, Service], path: str
) -> None:
    at, service = served
    good = fuzzing.wav(fuzzing.noise(16_000))
    for data, status in ((good, 200), (b"no recording", 400), (b"", 400), (good, 200)):
        if path == "/v1/listen":
            answer = httpx.post(f"http://{at}{path}", content=data, timeout=30)
        else:
            answer = httpx.post(f"http://{at}{path}", files={"file": ("a", data)}, timeout=30)
        assert answer.status_code == status
        wait_for(lambda: service.num_sessions == 0)


def test_a_place_is_counted_once(recognizer: Recognizer, tmp_path: Path) -> None:
    async def count() -> list[int]:
        service = Service({"tiny": recognizer}, ServeSettings(max_streams=1))
        counts = []
        with service.room() as room:
            counts.append(service.num_sessions)
            with pytest.raises(Refused, match="all 1 streams are taken"):
                await service.open(StreamOptions())
            async with await service.open(StreamOptions(), room):
                counts.append(service.num_sessions)
            counts.append(service.num_sessions)
        counts.append(service.num_sessions)
        await service.close()
        return counts

    del tmp_path
    assert asyncio.run(count()) == [1, 1, 0, 0]
