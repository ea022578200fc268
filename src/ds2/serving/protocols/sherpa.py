"""sherpa-onnx's two WebSocket protocols, at /sherpa and at / of a port of its own.

Live: float32 samples at 16 kHz, then the text "Done"; JSON of the C++ server comes back, and
"Done!" at the end. Recordings: the sample rate and the number of bytes as int32, then that many
bytes of float32; one JSON comes back, and the next recording or "Done" may follow. The first
bytes tell which: what is a sample rate there would be, as a sample, less than 1e-38.
"""

import math
import struct
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ds2.audio.pcm import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from ds2.audio.samples import Samples
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import StreamOptions
from ds2.serving.wire import sockets
from ds2.text.language import is_spaced
from ds2.transcripts.events import Endpoint, Event, Final, Partial
from ds2.transcripts.transcript import Transcript, together

PATH = "/sherpa"
HEAD_BYTES = 8
WIDTH = 4  # bytes of a float32 sample


def routes(service: Service) -> list[BaseRoute]:
    """The protocols' place on the main port."""
    return _routes(service, PATH)


def app(service: Service) -> Starlette:
    """The protocols alone, as sherpa-onnx has them on port 6006."""
    return Starlette(routes=_routes(service, "/"))


def _routes(service: Service, path: str) -> list[BaseRoute]:
    async def serve(websocket: WebSocket) -> None:
        await _serve(service, websocket)

    async def explain(request: Request) -> Response:
        told = "sherpa-onnx's WebSocket protocols are spoken here: connect to ws://"
        return PlainTextResponse(f"{told}{request.url.netloc}{path}\n")

    return [WebSocketRoute(path, serve), Route(path, explain)]


async def _serve(service: Service, websocket: WebSocket) -> None:
    if not service.is_ready:
        told = sockets.busy_message(service.is_draining)
        await sockets.deny(websocket, PlainTextResponse(told, 503))
        return
    await websocket.accept()
    try:
        head, has_more = await _head(websocket)
        if announced(head) is None:
            await _serve_live(service, websocket, head, has_more=has_more)
        else:
            await _serve_recordings(service, websocket, head)
    except Refused as refused:
        await sockets.close(websocket, sockets.close_code(refused), refused.message)
    except WebSocketDisconnect:
        pass


def _asked(websocket: WebSocket) -> StreamOptions:
    """The model or language that the address names, "?language=zh": theirs serve one model."""
    query = websocket.query_params
    return StreamOptions(model=query.get("model") or None, language=query.get("language") or None)


async def _head(websocket: WebSocket) -> tuple[bytes, bool]:
    """The first bytes, as many as tell which protocol this is; and whether more may come."""
    head = b""
    while len(head) < HEAD_BYTES:
        if (data := await _samples_or_end(websocket)) is None:
            return head, False
        head += data
    return head, True


async def _samples_or_end(websocket: WebSocket) -> bytes | None:
    """The next message's bytes; None at "Done". Raises Refused for other texts."""
    message = await sockets.receive(websocket)
    if isinstance(message, bytes):
        return message
    if message.strip() != "Done":
        raise Refused(400, f'Invalid payload: the only text is "Done", not "{message[:40]}"')
    return None


def announced(head: bytes) -> tuple[int, int] | None:
    """The sample rate and number of bytes that a recording begins with, if this is one."""
    if len(head) < HEAD_BYTES:
        return None
    rate_hz, num_bytes = struct.unpack_from("<ii", head)
    is_likely = LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ and num_bytes > 0
    return (rate_hz, num_bytes) if is_likely else None


async def _serve_live(
    service: Service, websocket: WebSocket, head: bytes, *, has_more: bool
) -> None:
    """Tell events as they come, until "Done" has been answered with "Done!"."""
    segments = _Segments()
    samples = Samples("f32le")

    async def read() -> None:
        await session.feed(samples.feed(head))
        while has_more and (data := await _samples_or_end(websocket)) is not None:
            await session.feed(samples.feed(data))
        await session.finish()

    options = replace(_asked(websocket), endpoints=EndpointRules())
    async with await service.open(options) as session, sockets.fed_by(session, read()):
        try:
            async for event in session.events():
                await _send_all(websocket, segments.messages(event))
        finally:  # where the server ends the stream, too
            await _send_all(websocket, segments.last_messages())
        if not session.is_done:
            return  # the client has gone
    if samples.has_rest:
        await sockets.close(websocket, sockets.INVALID, sockets.SPLIT_SAMPLE)
        return
    await sockets.send_text(websocket, "Done!")
    await sockets.close(websocket)


async def _send_all(websocket: WebSocket, messages: list[dict[str, Any]]) -> None:
    for message in messages:
        await sockets.send(websocket, message)


class _Segments:
    """Events as the C++ server's messages: it numbers segments, and times words within them."""

    def __init__(self) -> None:
        self._index = 0
        self._start_s = 0.0
        self._final: Transcript | None = None  # not told: it may be the last

    def messages(self, event: Event) -> list[dict[str, Any]]:
        """What an event is told as."""
        match event:
            case Partial():
                return [online_result(event.text.strip(), self._index, self._start_s)]
            case Final(transcript):
                self._final = transcript
            case Endpoint(time_s) if self._final is not None:
                told = self._told(self._final, is_eof=False)
                self._index, self._start_s, self._final = self._index + 1, time_s, None
                return [told]
        return []

    def last_messages(self) -> list[dict[str, Any]]:
        """What is left to tell at the end."""
        return [] if self._final is None else [self._told(self._final, is_eof=True)]

    def _told(self, transcript: Transcript, *, is_eof: bool) -> dict[str, Any]:
        timing = {
            "tokens": _tokens(transcript),
            "timestamps": [round(word.start_s - self._start_s, 3) for word in transcript.words],
            "ys_probs": _log_probs(transcript),
        }
        told = online_result(transcript.text, self._index, self._start_s)
        return told | timing | {"is_final": True, "is_eof": is_eof}


def online_result(text: str, segment: int, start_s: float) -> dict[str, Any]:
    """All keys of the C++ server's `OnlineRecognizerResult`, for a segment under way."""
    return {
        "text": text,
        "tokens": [],
        "timestamps": [],  # of the tokens, in seconds from start_time
        "ys_probs": [],
        "lm_probs": [],
        "context_scores": [],
        "segment": segment,
        "words": [],  # there: word numbers, of models with a word graph
        "start_time": round(start_s, 3),
        "is_final": False,
        "is_eof": False,
    }


async def _serve_recordings(service: Service, websocket: WebSocket, head: bytes) -> None:
    """Answer each recording with one JSON, until "Done"."""
    data: bytes | None = head
    while data:
        while data is not None and len(data) < HEAD_BYTES:
            more = await _samples_or_end(websocket)
            data = None if more is None else data + more
        if data is None:
            raise Refused(400, "the connection ended within the head of a recording")
        form = announced(data)
        if form is None:
            raise Refused(400, "a recording begins with its sample rate and number of bytes")
        rate_hz, num_bytes = form
        transcript, data = await _recording(
            service, websocket, rate_hz, num_bytes, data[HEAD_BYTES:]
        )
        await sockets.send(websocket, offline_result(transcript))
        if not data:
            data = await _samples_or_end(websocket)
    await sockets.close(websocket, reason="Done")


async def _recording(
    service: Service, websocket: WebSocket, rate_hz: int, num_bytes: int, data: bytes
) -> tuple[Transcript, bytes]:
    """Read and recognise a recording; returns what came after it, too. Raises Refused."""
    limits = service.settings
    if num_bytes % WIDTH:
        raise Refused(400, f"{num_bytes} bytes are no multiple of {WIDTH}: send float32")
    if num_bytes > limits.max_upload_bytes or num_bytes / WIDTH / rate_hz > limits.max_upload_s:
        raise Refused(413, f"a recording of {num_bytes} bytes is too long: send it in parts")
    options = replace(_asked(websocket), sample_rate_hz=rate_hz, is_live=False)
    samples, rest = Samples("f32le"), b""

    async def read() -> None:
        nonlocal num_bytes, data, rest
        while True:
            data, rest = data[:num_bytes], data[num_bytes:]
            num_bytes -= len(data)
            await session.feed(samples.feed(data))
            if not num_bytes:
                await session.finish()
                return
            if (more := await _samples_or_end(websocket)) is None:
                raise Refused(400, f'"Done", but {num_bytes} bytes of the recording are missing')
            data = more

    async with await service.open(options) as session, sockets.fed_by(session, read()):
        events = [event async for event in session.events()]
        if not session.is_done:
            raise WebSocketDisconnect
    return together([each.transcript for each in events if isinstance(each, Final)]), rest


def offline_result(transcript: Transcript) -> dict[str, Any]:
    """All keys of the C++ server's `OfflineRecognitionResult`."""
    return {
        "lang": transcript.language,
        "emotion": "",
        "event": "",
        "text": transcript.text,
        "timestamps": [word.start_s for word in transcript.words],
        "durations": [round(word.end_s - word.start_s, 3) for word in transcript.words],
        "tokens": _tokens(transcript),
        "ys_log_probs": _log_probs(transcript),
        "words": [],
    }


def _tokens(transcript: Transcript) -> list[str]:
    """The words; in a language with spaces each has one before it, as sherpa's pieces do."""
    space = " " if is_spaced(transcript.language) else ""
    return [space + word.text for word in transcript.words]


def _log_probs(transcript: Transcript) -> list[float]:
    return [round(math.log(max(word.confidence, 1e-10)), 6) for word in transcript.words]
