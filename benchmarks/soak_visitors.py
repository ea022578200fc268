"""Visitors of a server: good ones, whose text is known beforehand, and bad ones."""

import asyncio
import base64
import io
import json
import random
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

PHRASES: tuple[tuple[str, float], ...] = (
    *(("good morning", 5.0), ("zorblax", 3.0), ("the quibblewick company", 4.0)),
    *((f"number {first} {second}", 2.0) for first in "abcdefgh" for second in "abcdefgh"),
)
"""Hot phrases with known and unknown words."""
BYTES_PER_S = 32_000  # 16 bits at 16 kHz
SERVER_FAULT = 1011  # the close code for a fault of the server
BUSY = 503
PLACES = ("/v1/stream", "/vosk", "/sherpa", "/v1/listen", "/v1/realtime")
RAW = "encoding=linear16&sample_rate=16000"
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(frozen=True)
class Recording:
    """A recording that visitors send, and the text that they must get."""

    samples: bytes  # 16 bits at 16 kHz
    text: str  # text of the whole recording
    text_by_segments: str  # text with endpoints
    text_with_phrases: str  # text with `PHRASES`


class Wrong(Exception):
    """The server did something wrong."""


class Busy(Exception):
    """All streams are taken; the server may say that at any time."""


class TurnedOut(Exception):
    """The server turned a bad visitor out, as it should."""


@dataclass(frozen=True)
class Visit:
    """The visit of a visitor to a server."""

    port: int
    recording: Recording
    randomness: random.Random
    idle_s: float  # the server's idle time-out

    def pieces(self, most_s: float = 1.0, num_channels: int = 1) -> Iterator[bytes]:
        """The recording, the same on every channel, in pieces of any size."""
        samples = np.repeat(np.frombuffer(self.recording.samples, "<i2"), num_channels).tobytes()
        start = 0
        while start < len(samples):
            size = 1 + self.randomness.randrange(round(BYTES_PER_S * most_s))
            yield samples[start : start + size]
            start += size

    async def think(self, most_s: float = 0.3) -> None:
        """Wait for a moment, or do not wait."""
        await asyncio.sleep(self.randomness.choice((0.0, self.randomness.uniform(0, most_s))))

    @asynccontextmanager
    async def connected(
        self, path: str, *, behaves: bool = True
    ) -> AsyncIterator[ClientConnection]:
        """A WebSocket. Raises Busy; Wrong for a fault of the server; TurnedOut for bad visitors."""
        try:
            url = f"ws://127.0.0.1:{self.port}{path}"
            async with connect(url, compression=None, max_size=None) as websocket:
                yield websocket
        except InvalidStatus as error:
            status = error.response.status_code
            if not behaves and status < 500:
                raise TurnedOut(f"status {status}") from None
            raise _judged(status, path) from None
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else 1006
            reason = error.rcvd.reason if error.rcvd else ""
            if code == 1013:
                raise Busy from None
            if not behaves and code != SERVER_FAULT:
                raise TurnedOut(code) from None
            raise Wrong(f"{path}: closed with {code} {reason}") from None

    def expect(self, text: str, wanted: str, where: str) -> None:
        """Raise Wrong unless the text is the text of this recording."""
        if text != wanted:
            raise Wrong(f'{where}: "{text}", not "{wanted}"')


def _judged(status: int, where: str) -> Exception:
    return Busy() if status == BUSY else Wrong(f"{where}: status {status}")


async def speak(visit: Visit) -> None:
    """Our own protocol, in any pieces, live or not, with or without endpoints."""
    ends = visit.randomness.random() < 0.5
    start = {
        "type": "start",
        "endpoints": ends,
        "live": visit.randomness.random() < 0.7,
        "partials": visit.randomness.choice([True, False, "every_step"]),
    }
    text = await _hear(visit, start)
    recording = visit.recording
    visit.expect(text, recording.text_by_segments if ends else recording.text, "ours")


async def speak_with_phrases(visit: Visit) -> None:
    """Our own protocol, with hot phrases."""
    phrases = [{"text": text, "weight": weight} for text, weight in PHRASES]
    text = await _hear(visit, {"type": "start", "endpoints": False, "phrases": phrases})
    visit.expect(text, visit.recording.text_with_phrases, "with phrases")


async def speak_on_two_channels(visit: Visit) -> None:
    """Our own protocol with two channels, which have the same speech."""
    start = {"type": "start", "endpoints": False, "channels": 2}
    for number in (1, 2):
        text = await _hear(visit, start, number)
        visit.expect(text, visit.recording.text, f"channel {number} of 2")


async def _hear(visit: Visit, start: dict[str, Any], channel: int | None = None) -> str:
    """The text of all segments in our own protocol; with several channels, the text of one."""
    texts: list[str] = []
    async with visit.connected("/v1/stream") as websocket:
        await websocket.send(json.dumps(start))
        saying = _say(visit, websocket, '{"type": "finish"}', start.get("channels", 1))
        async with _alongside(saying):
            async for text in websocket:
                message = json.loads(text)
                if message["type"] == "error":
                    raise _judged(message["status"], f"/v1/stream: {message['message']}")
                if message["type"] == "final" and message.get("channel") == channel:
                    texts.append(message["text"])
    return joined(texts)


async def _say(visit: Visit, websocket: ClientConnection, end: str, num_channels: int = 1) -> None:
    """Send the whole recording, then the message that ends it."""
    for piece in visit.pieces(num_channels=num_channels):
        await websocket.send(piece)
        await visit.think()
    await websocket.send(end)


async def speak_vosk(visit: Visit) -> None:
    """vosk-server's protocol: one reply to each message."""
    texts = []
    async with visit.connected("/vosk") as websocket:
        await websocket.send('{"config": {"sample_rate": 16000}}')
        messages: list[str | bytes] = [*visit.pieces(), '{"eof" : 1}']
        for message in messages:
            await websocket.send(message)
            texts.append(json.loads(await websocket.recv()).get("text", ""))
            await visit.think(0.1)
    visit.expect(joined(texts), visit.recording.text_by_segments, "vosk")


async def speak_deepgram(visit: Visit) -> None:
    """Deepgram's, live."""
    texts = []
    path = f"/v1/listen?{RAW}&interim_results=true"
    async with (
        visit.connected(path) as websocket,
        _alongside(_say(visit, websocket, '{"type": "CloseStream"}')),
    ):
        async for text in websocket:
            message = json.loads(text)
            if message["type"] == "Results" and message["is_final"]:
                texts.append(message["channel"]["alternatives"][0]["transcript"])
    visit.expect(joined(texts), visit.recording.text_by_segments, "deepgram")


async def speak_realtime(visit: Visit) -> None:
    """OpenAI's realtime sessions, with a turn that the client ends."""
    session = {
        "type": "transcription",
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": None}
        },
    }
    async with visit.connected("/v1/realtime?intent=transcription") as websocket:
        await websocket.send(json.dumps({"type": "session.update", "session": session}))
        for piece in visit.pieces():
            audio = base64.b64encode(piece).decode()
            event = {"type": "input_audio_buffer.append", "audio": audio}
            await websocket.send(json.dumps(event))
            await visit.think()
        await websocket.send('{"type": "input_audio_buffer.commit"}')
        async for text in websocket:
            message = json.loads(text)
            if message["type"] == "error":
                if message["error"].get("code") == "server_overloaded":
                    raise Busy
                raise Wrong(f"realtime: {message['error']}")
            if message["type"] == f"{TRANSCRIPTION}.completed":
                visit.expect(message["transcript"], visit.recording.text, "realtime")
                return
    raise Wrong("realtime: the server closed before the end")


async def upload(visit: Visit) -> None:
    """OpenAI's transcription of a file."""
    form = visit.randomness.choice(["json", "text", "verbose_json"])
    status, body = await _post(visit, _wav(visit.recording.samples), {"response_format": form})
    if status != 200:
        raise _judged(status, f"upload: {body[:200]}")
    text = body.rstrip("\n") if form == "text" else json.loads(body)["text"]
    if form == "verbose_json":  # in segments, which end at pauses
        return
    visit.expect(text, visit.recording.text, f"upload, {form}")


async def ask_too_much(visit: Visit) -> None:
    """Send too many phrases, too long phrases, or too large weights."""
    letters = "".join(visit.randomness.choices("abcdefghij", k=50_000))
    phrases: list[Any] = visit.randomness.choice(
        [
            [letters],
            [letters[start : start + 8] for start in range(0, 48_000, 8)],
            [{"text": "hot", "weight": 1.7e308}],
        ]
    )
    async with visit.connected("/v1/stream") as websocket:
        await websocket.send(json.dumps({"type": "start", "phrases": phrases}))
        message = json.loads(await websocket.recv())
        if message["type"] != "error":
            raise Wrong(f"the answer to phrases beyond the limits was {message['type']}")
        if message["status"] != 400:
            raise _judged(message["status"], f"too many phrases: {message['message']}")


async def leave_early(visit: Visit) -> None:
    """Close politely in the middle, without waiting for anything."""
    with suppress(TurnedOut):
        async with visit.connected("/v1/stream", behaves=False) as websocket:
            await _half(visit, websocket)


async def cut(visit: Visit) -> None:
    """Break the connection in the middle, perhaps inside a message."""
    path = visit.randomness.choice(PLACES)
    with suppress(TurnedOut):
        async with visit.connected(path, behaves=False) as websocket:
            await _half(visit, websocket)
            if visit.randomness.random() < 0.5:
                with suppress(RuntimeError):  # the server closed first
                    websocket.transport.write(b"\x82\xfe\x40\x00half of a message")
                await visit.think()
            websocket.transport.abort()


async def stall(visit: Visit) -> None:
    """Send some audio, then nothing: the server must close."""
    async with asyncio.timeout(3 * visit.idle_s + 20):
        try:
            async with visit.connected("/v1/stream", behaves=False) as websocket:
                await _half(visit, websocket)
                async for _ in websocket:
                    pass
        except TurnedOut as error:
            if error.args != (1008,):
                raise Wrong(f"a stalled stream was closed with {error.args[0]}") from None
        else:
            raise Wrong("a stalled stream ended without an error")


async def read_nothing(visit: Visit) -> None:
    """Send everything, and read nothing."""
    with suppress(TurnedOut):
        async with visit.connected("/v1/stream", behaves=False) as websocket:
            await websocket.send('{"type": "start", "partials": "every_step"}')
            websocket.transport.pause_reading()
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    for piece in visit.pieces():
                        await websocket.send(piece)
                    await asyncio.sleep(visit.randomness.uniform(0, 3))
            websocket.transport.abort()


async def send_garbage(visit: Visit) -> None:
    """Send garbage to any protocol; the server may refuse, but not break."""
    path = visit.randomness.choice(PLACES)
    if path == "/v1/listen" and visit.randomness.random() < 0.5:
        path = f"{path}?{RAW}"
    with suppress(TurnedOut):
        async with visit.connected(path, behaves=False) as websocket:
            for _ in range(visit.randomness.randrange(1, 8)):
                await websocket.send(_garbage(visit.randomness))
                await visit.think(0.1)
            await websocket.close()
            if websocket.close_code == SERVER_FAULT:
                raise Wrong(f"{path}: the answer to garbage was {SERVER_FAULT}")


async def upload_garbage(visit: Visit) -> None:
    """Upload garbage, or half of a file."""
    whole = _wav(visit.recording.samples)
    randomness = visit.randomness
    data = randomness.choice([whole[: randomness.randrange(len(whole))], randomness.randbytes(999)])
    status, body = await _post(visit, data, {"response_format": randomness.choice(["json", "no"])})
    if status >= 500 and status != BUSY:
        raise Wrong(f"upload of garbage: {status} {body[:200]}")


async def cut_upload(visit: Visit) -> None:
    """Send a request that ends before the end of its body."""
    _, writer = await asyncio.open_connection("127.0.0.1", visit.port)
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
    )
    writer.write(head.encode())
    await visit.think()
    writer.transport.abort()


GOOD: tuple[Callable[[Visit], Awaitable[None]], ...] = (
    speak,
    speak,
    speak_with_phrases,
    speak_on_two_channels,
    speak_vosk,
    speak_deepgram,
    speak_realtime,
    upload,
)
BAD: tuple[Callable[[Visit], Awaitable[None]], ...] = (
    ask_too_much,
    leave_early,
    cut,
    stall,
    read_nothing,
    send_garbage,
    upload_garbage,
    cut_upload,
)


async def _half(visit: Visit, websocket: ClientConnection) -> None:
    """Begin our protocol, and send some of the recording. (For other protocols this is garbage.)"""
    await websocket.send('{"type": "start"}')
    for piece in visit.pieces(0.5):
        if visit.randomness.random() < 0.2:
            return
        await websocket.send(piece)
        await visit.think(0.1)


@asynccontextmanager
async def _alongside(sending: Any) -> AsyncIterator[None]:
    """Send audio while the block receives."""
    task = asyncio.create_task(sending)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, WebSocketException):
            await task


async def _post(visit: Visit, data: bytes, fields: dict[str, str]) -> tuple[int, str]:
    url = f"http://127.0.0.1:{visit.port}/v1/audio/transcriptions"
    async with httpx.AsyncClient(timeout=120) as client:
        files = {"file": ("said.wav", data)}
        answer = await client.post(url, files=files, data={"model": "whisper-1", **fields})
    return answer.status_code, answer.text


def _wav(samples: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples)
    return buffer.getvalue()


def _garbage(randomness: random.Random) -> str | bytes:
    """Bytes, text, JSON of a wrong shape."""
    kinds: list[str | bytes] = [
        randomness.randbytes(randomness.randrange(5000)),
        b"",
        "{",
        "[" * 2000,
        "null",
        '{"type": "start", "endpoints": {"pause_s": -1}}',
        '{"type": "start", "sample_rate_hz": 1e99}',
        '{"type": "start", "encoding": "f32le"}',
        '{"type": 7}',
        '{"config": {"sample_rate": "x"}}',
        '{"type": "input_audio_buffer.append", "audio": "%%%"}',
        '{"type": "session.update", "session": 5}',
        "\u0000\uffff" * 100,
        randomness.randbytes(200_000),
    ]
    return randomness.choice(kinds)


def joined(texts: list[str]) -> str:
    return " ".join(filter(None, texts))
