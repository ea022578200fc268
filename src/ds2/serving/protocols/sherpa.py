"""sherpa-onnx's protocol for live streams, at /sherpa and, by WebSocket, at /.

A client sends float32 samples at 16 kHz, then the text "Done". The server sends back JSON like
that of the C++ server, and "Done!" at the end. sherpa's own client knows a host and a port, but no
path.
"""

import math
from typing import Any

from starlette.routing import BaseRoute
from starlette.websockets import WebSocket

from ds2.audio.samples import Samples
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import StreamOptions
from ds2.serving.wire import sockets
from ds2.text.spacing import is_spaced
from ds2.transcripts.events import Endpoint, Event, Final, Partial
from ds2.transcripts.transcript import Transcript


def routes(service: Service) -> list[BaseRoute]:
    """The protocol's routes."""
    return sockets.routes_of("sherpa-onnx", ("/sherpa", "/"), _serve, service)


async def _serve(service: Service, websocket: WebSocket) -> None:
    """Send events as they come. Answer "Done" with "Done!" at the end."""
    segments = _Segments()
    samples = Samples("f32le")

    async def read() -> None:
        while (data := await _receive_samples(websocket)) is not None:
            await session.feed(samples.feed(data))
        await session.finish()

    query = websocket.query_params  # their server has one model, so their clients name none
    options = StreamOptions(
        model=query.get("model") or None,
        language=query.get("language") or None,
        endpoints=EndpointRules(),
    )
    async with await service.open(options) as session, sockets.fed_by(session, read()):
        try:
            async for event in session.events():
                await _send_all(websocket, segments.take(event))
        finally:  # also if the server ends the stream
            await _send_all(websocket, segments.last_messages())
        if not session.is_done:
            return  # the client has gone
    if samples.has_rest:
        await sockets.close(websocket, sockets.INVALID, sockets.SPLIT_SAMPLE)
        return
    await sockets.send_text(websocket, "Done!")
    await sockets.close(websocket)


async def _receive_samples(websocket: WebSocket) -> bytes | None:
    """The next message's bytes; None at "Done". Raises Refused for other texts."""
    message = await sockets.receive(websocket)
    if isinstance(message, bytes):
        return message
    if message.strip() != "Done":
        raise Refused(400, f'Invalid payload: the only text is "Done", not "{message[:40]}"')
    return None


async def _send_all(websocket: WebSocket, messages: list[dict[str, Any]]) -> None:
    for message in messages:
        await sockets.send(websocket, message)


class _Segments:
    """Events as messages of the C++ server, with numbers of segments and times within them."""

    def __init__(self) -> None:
        self._index = 0
        self._start_s = 0.0
        self._final: Transcript | None = None  # not sent yet: it may be the last

    def take(self, event: Event) -> list[dict[str, Any]]:
        """Take an event. Returns its messages."""
        match event:
            case Partial():
                return [online_result(event.text, self._index, self._start_s)]
            case Final(transcript):
                self._final = transcript
            case Endpoint(time_s) if self._final is not None:
                told = self._told(self._final, is_eof=False)
                self._index, self._start_s, self._final = self._index + 1, time_s, None
                return [told]
        return []

    def last_messages(self) -> list[dict[str, Any]]:
        """The messages that are left at the end."""
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
    """All keys of the C++ server's `OnlineRecognizerResult`, for the current segment."""
    return {
        "text": text,
        "tokens": [],
        "timestamps": [],  # of the tokens, in seconds from start_time
        "ys_probs": [],
        "lm_probs": [],
        "context_scores": [],
        "segment": segment,
        "words": [],  # in the C++ server: word numbers, for models with a word graph
        "start_time": round(start_s, 3),
        "is_final": False,
        "is_eof": False,
    }


def _tokens(transcript: Transcript) -> list[str]:
    """The words. In a language with spaces, each has a space before it, like sherpa's pieces."""
    space = " " if is_spaced(transcript.language) else ""
    return [space + word.text for word in transcript.words]


def _log_probs(transcript: Transcript) -> list[float]:
    return [round(math.log(max(word.confidence, 1e-10)), 6) for word in transcript.words]
