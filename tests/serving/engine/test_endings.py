"""Every end of a stream is answered at once: faults, shutdowns, clients that leave."""

import asyncio
import io
import logging
import warnings
from pathlib import Path
from typing import BinaryIO, cast

import httpx
import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from aids.models import write_random_bundle
from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.recognition.recognizer import Recognizer
from ds2.serving.access.access import build_access
from ds2.serving.app import guarded
from ds2.serving.config import ServeSettings
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import StreamOptions
from ds2.serving.logs import JsonFormatter
from ds2.serving.wire import sockets
from ds2.transcripts.events import Final

BOUND_S = 20.0


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(write_random_bundle(tmp_path_factory.mktemp("tiny")))


def noise(num_samples: int, seed: int = 0) -> Waveform:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


class FailingFile(io.BytesIO):
    """A file whose disk fails in an unexpected way."""

    def read(self, size: int | None = -1) -> bytes:
        del size
        raise RuntimeError("the disk is on fire")


def test_a_fault_while_a_recording_is_read_ends_the_request_at_once(
    recognizer: Recognizer,
) -> None:
    async def transcribe() -> int:
        service = Service({"tiny": recognizer})
        file = cast(BinaryIO, FailingFile(b"RIFF"))
        try:
            with pytest.raises(RuntimeError, match="on fire"):
                await asyncio.wait_for(service.transcribe(file, StreamOptions()), BOUND_S)
        finally:
            await service.close()
        return service.num_sessions

    assert asyncio.run(transcribe()) == 0


async def fail(request: Request) -> Response:
    raise RuntimeError(request.url.path)


async def fail_late(request: Request) -> Response:
    async def lines() -> object:
        yield "a line\n"
        raise RuntimeError(request.url.path)

    return StreamingResponse(lines())  # type: ignore[arg-type]


def answered(recognizer: Recognizer, path: str, **headers: str) -> httpx.Response:
    """The answer of an application with faults."""

    async def ask() -> httpx.Response:
        service = Service({"tiny": recognizer})
        routes = [Route("/fails", fail), Route("/late", fail_late)]
        app = guarded(routes, service, build_access(service.settings))
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get(path, headers=headers)
        await service.close()
        return answer

    return asyncio.run(ask())


class Lines(logging.Handler):
    """Keeps the log as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> object:
    handler = Lines()
    logger = logging.getLogger("ds2.serving")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield handler.lines
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_an_unforeseen_error_is_answered_with_the_name_that_the_log_has(
    recognizer: Recognizer, lines: list[str]
) -> None:
    answer = answered(recognizer, "/fails")
    assert answer.status_code == 500
    name = answer.headers["x-request-id"]
    assert name in answer.json()["error"]["message"]
    [fault] = [line for line in lines if "a request failed" in line]
    assert name in fault
    assert "RuntimeError: /fails" in fault
    assert any(name in line and '"status": 500' in line for line in lines)


def test_an_error_within_an_answer_is_logged_with_its_name(
    recognizer: Recognizer, lines: list[str]
) -> None:
    with pytest.raises(AssertionError):  # a warning of the client, which expects a whole answer
        answered(recognizer, "/late", **{"x-request-id": "late-1"})
    [fault] = [line for line in lines if "a request failed" in line]
    assert '"request": "late-1"' in fault


def test_a_client_may_name_its_request_but_not_write_into_the_log(recognizer: Recognizer) -> None:
    assert answered(recognizer, "/no", **{"x-request-id": "mine-7"}).headers["x-request-id"] == (
        "mine-7"
    )
    for bad in ("two words", "x" * 65, '"'):
        assert answered(recognizer, "/no", **{"x-request-id": bad}).headers["x-request-id"] != bad


@pytest.mark.parametrize("rate_hz", [SAMPLE_RATE_HZ, 8000])
def test_a_stream_that_is_drained_while_audio_arrives_gets_its_last_words(
    recognizer: Recognizer, rate_hz: int, lines: list[str]
) -> None:
    async def drain() -> tuple[list[object], Refused | None, float]:
        service = Service({"tiny": recognizer}, ServeSettings(drain_s=0.2))
        options = StreamOptions(endpoints=None, partials=False, sample_rate_hz=rate_hz)
        heard: list[object] = []
        refused = None
        fed_s = 0.0
        async with await service.open(options) as session:

            async def speak() -> None:
                nonlocal fed_s
                while True:  # before the end, at it and after it
                    await session.feed(noise(3 * rate_hz))  # resampled in another thread
                    fed_s += 0 if service.is_draining else 3
                    await asyncio.sleep(0)

            async with sockets.fed_by(session, speak()):
                while not fed_s:
                    await asyncio.sleep(0.01)
                draining = asyncio.create_task(service.drain())
                try:
                    async for event in session.events():
                        heard.append(event)
                except Refused as error:
                    refused = error
            await draining
        await service.close()
        return heard, refused, fed_s

    heard, refused, fed_s = asyncio.run(asyncio.wait_for(drain(), 3 * BOUND_S))
    assert refused is not None
    assert refused.status == 503
    assert isinstance(heard[-1], Final)
    assert heard[-1].transcript.duration_s >= fed_s > 0
    assert not [line for line in lines if '"level": "error"' in line]


def test_what_is_finished_already_ends_well_at_a_shutdown(recognizer: Recognizer) -> None:
    async def drain() -> list[object]:
        service = Service({"tiny": recognizer}, ServeSettings(drain_s=0))
        async with await service.open(StreamOptions(endpoints=None)) as session:
            await session.feed(noise(4 * SAMPLE_RATE_HZ))
            await session.finish()
            draining = asyncio.create_task(service.drain())
            heard: list[object] = [event async for event in session.events()]
            await draining
        await service.close()
        return heard

    heard = asyncio.run(drain())
    assert isinstance(heard[-1], Final)
    assert heard[-1].transcript.duration_s == 4.0


def test_a_reader_that_never_began_leaves_no_coroutine_behind(recognizer: Recognizer) -> None:
    async def leave_at_once() -> None:
        service = Service({"tiny": recognizer})

        async def read() -> None:
            await asyncio.sleep(1)

        async with await service.open(StreamOptions()) as session, sockets.fed_by(session, read()):
            pass  # before the reader's first step
        await service.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(leave_at_once())


def test_a_file_in_the_way_is_told_without_a_fault(recognizer: Recognizer, tmp_path: Path) -> None:
    """An expected error remains the client's fault."""
    path = tmp_path / "none.wav"
    path.write_bytes(b"RIFF\0\0\0\0nothing of the kind")

    async def transcribe() -> str:
        service = Service({"tiny": recognizer})
        try:
            await service.transcribe(path, StreamOptions())
        except Exception as error:
            return type(error).__name__
        finally:
            await service.close()
        return ""

    assert asyncio.run(transcribe()) in ("InputError", "Refused")
