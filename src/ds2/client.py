"""A client of `ds2 serve`: it sends live audio and receives events.

async with connect("ws://127.0.0.1:8000", language="en") as stream:
    await stream.send(waveform)     # as often as you have audio, for example in another task
    await stream.finish()
    async for event in stream:
        print(event)
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import ArrayLike
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ds2.audio import SAMPLE_RATE_HZ, Channels, Source, Waveform, audio_blocks, frames_of, mono_of
from ds2.ctc.phrases import Phrase, hot_phrases
from ds2.errors import InputError
from ds2.transcripts.channels import merged
from ds2.transcripts.events import Event, Final
from ds2.transcripts.messages import event_from_dict
from ds2.transcripts.transcript import Transcript, together

PATH = "/v1/stream"
BLOCK_S = 1.0
"""Seconds of audio in a message of an upload: 64 KB, well below any server's limit."""
OPEN_TIMEOUT_S = 20.0
LAST_WORD_S = 1.0
"""After an error of the server, the sending task has this time to report its own error."""
GOING_AWAY = (1001, 1012)
"""Close codes of RFC 6455 and its registry: going away, service restart."""
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class ServerError(Exception):
    """An error of the server or of the connection. The message is one line."""

    def __init__(self, message: str, status: int | None = None, param: str | None = None) -> None:
        """status: an HTTP status, such as 400, 401, 404, 429 or 503; None if no server answered.
        param: the option at fault."""
        super().__init__(message)
        self.status = status
        self.param = param


class ServerGone(ServerError):
    """The connection broke. Connect again, and send the audio that had no Final yet."""


class RemoteStream:
    """A stream on a server. `connect` makes it. Iterate over it to get its events."""

    def __init__(
        self, websocket: ClientConnection, ready: dict[str, Any], num_channels: int = 1
    ) -> None:
        self._num_channels = num_channels
        self.model: str = ready["model"]
        self.language: str = ready["language"]
        self.latency_s: float | None = ready["latency_s"]  # of the model, without chunks
        self.channel: int | None = None  # of the last event, from 1; None for one channel
        self.heard_s = 0.0  # audio that the server had recognised at the last text
        self._websocket = websocket

    async def send(self, samples: ArrayLike) -> None:
        """Send samples. This waits while the server has too much audio already.

        samples: any kind that `Recognizer.transcribe` takes; (N, channels) for a stream with
            several channels. Raises InputError.
        """
        if self._num_channels == 1:
            waveform = mono_of(samples)
        elif (waveform := frames_of(samples)).shape[1] != self._num_channels:
            told = f"have {waveform.shape[1]} channels, but the stream has {self._num_channels}"
            raise InputError(f"the samples: {told}: give (N, {self._num_channels})")
        await self._send(np.ascontiguousarray(waveform, "<f4").tobytes())

    async def flush(self) -> None:
        """End the segment now."""
        await self._send(json.dumps({"type": "flush"}))

    async def finish(self) -> None:
        """End the audio. The last events follow."""
        await self._send(json.dumps({"type": "finish"}))

    async def close(self) -> None:
        """Close the stream at once."""
        await self._websocket.close()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events until the end of the stream. Raises ServerError."""
        try:
            async for text in self._websocket:
                message = json.loads(text)
                if message["type"] == "done":
                    return
                if message["type"] == "error":
                    raise _error_in(message)
                self.channel = message.pop("channel", None)
                self.heard_s = message.get("heard_s", self.heard_s)
                yield _event_in(message)
        except ConnectionClosed as error:
            raise _cut(error) from None
        if self._websocket.close_code in GOING_AWAY:
            raise _gone()
        raise ServerError("the server closed the connection before the end of the stream")

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._websocket.send(message)
        except ConnectionClosed as error:
            raise _cut(error) from None


@asynccontextmanager
async def connect(
    url: str,
    *,
    api_key: str | None = None,
    model: str | None = None,
    language: str | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    num_channels: int = 1,
    phrases: Sequence[Phrase] = (),
    endpoints: bool | dict[str, Any] = True,
    num_alternatives: int = 0,
    partials: bool = True,
    is_live: bool = True,
    ssl: SSLContext | None = None,
) -> AsyncIterator[RemoteStream]:
    """A new stream. Raises ServerError.

    url: the server, with http://, https://, ws:// or wss://; you may leave out the path.
    endpoints: whether segments end where the speaker pauses; or a dict of rules that replace those
    of the server. num_channels: of the samples; the server recognises each channel on its own, and
    `RemoteStream.channel` is the channel of an event. is_live: False for a recording; the server
    serves live streams first.
    """
    start = {
        "type": "start",
        "model": model,
        "language": language,
        "sample_rate_hz": sample_rate_hz,
        "encoding": "f32le",
        "phrases": [
            {"text": phrase.text, "weight": phrase.weight} for phrase in hot_phrases(phrases)
        ],
        "endpoints": endpoints,
        "alternatives": num_alternatives,
        "partials": partials,
        "live": is_live,
    }
    if num_channels != 1:
        start["channels"] = num_channels
    websocket = await _open_connection(url, api_key, ssl)
    try:
        yield RemoteStream(websocket, await _start_stream(websocket, start), num_channels)
    finally:
        await websocket.close()


async def transcribe(
    url: str,
    source: Source,
    *,
    track: int | str | None = None,
    channels: Channels = "mix",
    **options: Any,
) -> Transcript:
    """The transcript of a recording, which is sent as fast as the server takes it.

    track: number of the sound track, counted from 1, or its language; None is the default track.
    channels: as in `Recognizer.transcribe`. options: as in `connect`.
    Raises ServerError; InputError for a recording that it cannot read.
    """
    given = {"endpoints": False, "partials": False, "is_live": False, **options}
    blocks = audio_blocks(source, block_s=BLOCK_S, track=track, channels=channels)
    num_channels = 1
    if channels == "split":
        first = await asyncio.to_thread(next, blocks)
        num_channels, blocks = first.shape[1], itertools.chain([first], blocks)
    finals: list[list[Transcript]] = [[] for _ in range(num_channels)]
    async with connect(url, num_channels=num_channels, **given) as stream:
        sending = asyncio.create_task(_send_all(stream, blocks))
        try:
            async for event in stream:
                if isinstance(event, Final):
                    finals[(stream.channel or 1) - 1].append(event.transcript)
        except ServerError:
            await asyncio.wait([sending], timeout=LAST_WORD_S)
            if sending.done() and isinstance(sending.exception(), InputError):
                await sending  # raises the fault of the recording, which caused all others
            raise
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ServerError, InputError):
                await sending
    found = [together(each) for each in finals]
    return merged(found) if channels == "split" else found[0]


async def _send_all(stream: RemoteStream, blocks: Iterator[Waveform]) -> None:
    try:
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            await stream.send(block)
        await stream.finish()
    except BaseException:
        await stream.close()  # otherwise both sides wait for each other
        raise


async def _open_connection(
    url: str, api_key: str | None, ssl: SSLContext | None
) -> ClientConnection:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    options: dict[str, Any] = {"ssl": ssl} if ssl else {}
    try:
        return await open_websocket(
            _address(url),
            additional_headers=headers,
            open_timeout=OPEN_TIMEOUT_S,
            compression=None,  # compression hardly shrinks sound
            max_size=None,  # one message may hold the words of an hour
            **options,
        )
    except InvalidStatus as error:
        raise _refusal(url, error) from None
    except (OSError, InvalidHandshake, InvalidURI) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
        raise ServerError(f"{url}: cannot be reached: {reason}") from None


async def _start_stream(websocket: ClientConnection, start: dict[str, Any]) -> dict[str, Any]:
    try:
        await websocket.send(json.dumps(start))
        message = json.loads(await websocket.recv())
        if message["type"] not in ("ready", "error"):
            raise KeyError
    except ConnectionClosed as error:
        raise _cut(error) from None
    except (ValueError, KeyError, TypeError):
        raise ServerError("the program that answers there is not a ds2 server") from None
    if message["type"] == "error":
        raise _error_in(message)
    ready: dict[str, Any] = message
    return ready


def _address(url: str) -> str:
    """The URL of the WebSocket. Raises ServerError for a wrong URL."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ServerError(f"{url}: is not the URL of a server: write it like ws://127.0.0.1:8000")
    path = parts.path if parts.path.strip("/") else PATH
    return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def _event_in(message: dict[str, Any]) -> Event:
    try:
        return event_from_dict(message)
    except ValueError as error:
        raise ServerError(f"the server sent {error}") from None


def _error_in(message: dict[str, Any]) -> ServerError:
    return ServerError(message["message"], message["status"], message.get("param"))


def _refusal(url: str, error: InvalidStatus) -> ServerError:
    """The error that a server gives when it refuses the handshake."""
    status = error.response.status_code
    try:
        told = json.loads(error.response.body or b"")["error"]["message"]
    except (ValueError, KeyError, TypeError):
        told = f"is not a ds2 server, or refuses this client: it answered {status}"
    return ServerError(f"{url}: {told}", status)


def _cut(error: ConnectionClosed) -> ServerError:
    if error.rcvd is None or error.rcvd.code in GOING_AWAY:  # None: without a closing frame
        return _gone()
    reason = f": {error.rcvd.reason}" if error.rcvd.reason else ""
    return ServerError(f"the connection was closed{reason}")


def _gone() -> ServerGone:
    return ServerGone("the server went away: connect again")
