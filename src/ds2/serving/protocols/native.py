"""Our own WebSocket protocol at /v1/stream. See docs/reference/websocket.md and `ds2.client`."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ds2.audio.samples import Encoding, Samples
from ds2.ctc.phrases import HotPhrase
from ds2.errors import InputError
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.engine.channels import ChannelSessions
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import Session, StreamOptions
from ds2.serving.wire import sockets
from ds2.settings import settings_from
from ds2.transcripts.messages import event_to_dict

PATH = "/v1/stream"
SUBPROTOCOL = "ds2"
"""For browsers: they can send a key only as one of several subprotocols."""
TRY_AGAIN_LATER, POLICY_VIOLATION = 1013, 1008  # close codes of RFC 6455
MOST_PHRASES = 1000


@dataclass(frozen=True)
class Start:
    """The first message. Unknown keys are errors."""

    type: Literal["start"]
    model: str | None = None
    language: str | None = None
    sample_rate_hz: int = 16_000
    encoding: Encoding = "s16le"
    phrases: tuple[str | dict[str, Any], ...] = ()  # "text", or {"text": ..., "weight": ...}
    endpoints: bool | dict[str, Any] = True  # or rules that differ from the default ones
    alternatives: int = 0  # number of other hypotheses of each segment
    partials: bool | Literal["every_step"] = True  # "every_step": even if the text is the same
    channels: int = 1  # interleaved in the samples; each channel is recognised by itself
    live: bool = True  # False for recordings: live streams go first

    def options(self) -> StreamOptions:
        """The options of the stream. Raises InputError."""
        rules = EndpointRules() if self.endpoints else None
        if isinstance(self.endpoints, dict):
            rules = settings_from(EndpointRules, self.endpoints, "start: endpoints")
        if len(self.phrases) > MOST_PHRASES:
            raise InputError(f"start: phrases: must be {MOST_PHRASES} or fewer")
        return StreamOptions(
            model=self.model,
            language=self.language,
            sample_rate_hz=self.sample_rate_hz,
            endpoints=rules,
            phrases=tuple(
                settings_from(HotPhrase, each, "start: phrases")
                if isinstance(each, dict)
                else HotPhrase(each)
                for each in self.phrases
            ),
            num_alternatives=self.alternatives,
            partials=bool(self.partials),
            repeats=self.partials == "every_step",
            is_live=self.live,
        )


def routes(service: Service) -> list[BaseRoute]:
    """The protocol's route."""

    async def serve(websocket: WebSocket) -> None:
        await _serve(service, websocket)

    return [WebSocketRoute(PATH, serve)]


async def _serve(service: Service, websocket: WebSocket) -> None:
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        start = _start_of(await _receive(websocket))
        if start.channels == 1:
            async with await service.open(start.options()) as session:
                await _send(websocket, _ready(service, session))
                await _answer(websocket, session, Samples(start.encoding))
        else:
            async with await service.open_channels(start.options(), start.channels) as sessions:
                await _send(websocket, _ready(service, sessions))
                await _answer_channels(websocket, sessions, Samples(start.encoding, start.channels))
        await _send(websocket, {"type": "done"})
        await websocket.close()
    except InputError as error:
        await _tell(websocket, Refused(400, str(error)))
    except Refused as refused:
        await _tell(websocket, refused)
    except WebSocketDisconnect:
        pass  # the client has gone; the `async with` has closed its stream


async def _answer(websocket: WebSocket, session: Session, samples: Samples) -> None:
    """Send all events, while another task reads the client's messages."""
    async with sockets.fed_by(session, _read(websocket, session, samples)):
        async for event in session.events():
            await _send(websocket, event_to_dict(event, session.heard_s))
        if not session.is_done:
            raise WebSocketDisconnect


async def _answer_channels(
    websocket: WebSocket, sessions: ChannelSessions, samples: Samples
) -> None:
    """The same for several channels. Each event names its channel's number, from 1."""
    async with sockets.fed_by(sessions, _read(websocket, sessions, samples)):
        async for index, event in sessions.events():
            message = event_to_dict(event, sessions.sessions[index].heard_s)
            await _send(websocket, {**message, "channel": index + 1})
        if not sessions.is_done:
            raise WebSocketDisconnect


async def _read(websocket: WebSocket, session: Session | ChannelSessions, samples: Samples) -> None:
    """Follow the messages until the client goes. Raises Refused, WebSocketDisconnect."""
    while True:
        message = await _receive(websocket)
        if isinstance(message, bytes):
            await session.feed(samples.feed(message))
        elif message.get("type") == "flush":
            await session.flush()
        elif message.get("type") == "finish":
            await session.finish()
        elif message.get("type") != "keep_alive":
            told = json.dumps(message.get("type"), ensure_ascii=False)[:100]
            known = '"flush", "finish" or "keep_alive"'
            raise Refused(400, f"type: must be {known}, not {told}", "type")


async def _receive(websocket: WebSocket) -> bytes | dict[str, Any]:
    """The next message: audio, or a JSON object. Raises Refused, WebSocketDisconnect."""
    message = await sockets.receive(websocket)
    return message if isinstance(message, bytes) else sockets.object_in(message)


def _start_of(message: bytes | dict[str, Any]) -> Start:
    if isinstance(message, bytes) or message.get("type") != "start":
        raise Refused(400, 'the first message must be {"type": "start"}', "type")
    return settings_from(Start, message, "start")


def _ready(service: Service, session: Session | ChannelSessions) -> dict[str, Any]:
    card = service.models[session.model]
    return {
        "type": "ready",
        "model": card.name,
        "language": card.language,
        "latency_s": card.bundle.latency_s,
        "chunk_s": service.settings.chunk_ms / 1000,
    }


async def _tell(websocket: WebSocket, refused: Refused) -> None:
    """Send an error and close. The message is needed: a browser sees only the code of a close."""
    body = {"status": refused.status, "message": refused.message, "param": refused.param}
    with suppress(WebSocketDisconnect, RuntimeError):  # it may be closed already
        await _send(websocket, {"type": "error", **body})
        is_busy = refused.status in (429, 503)
        await websocket.close(TRY_AGAIN_LATER if is_busy else POLICY_VIOLATION)


async def _send(websocket: WebSocket, message: Mapping[str, Any]) -> None:
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    await sockets.send_text(websocket, text)
