"""The parts that all WebSocket protocols share: messages, refusals and closing."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ds2.serving.engine.channels import ChannelSessions
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import told_of_fault
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import Session
from ds2.serving.wire.given_json import json_in

NORMAL, INVALID, POLICY_VIOLATION, TOO_BIG, FAILED, TRY_AGAIN_LATER = (
    *(1000, 1007, 1008, 1009, 1011, 1013),  # close codes of RFC 6455
)
LONGEST_REASON = 123
"""Most bytes of the reason in a close."""
SPLIT_SAMPLE = "the audio ended within a sample: check its encoding"

logger = logging.getLogger(__name__)

Talk: TypeAlias = Callable[[Service, WebSocket], Awaitable[None]]
"""Speaks a protocol over an accepted WebSocket. May raise Refused."""


def routes_of(program: str, paths: Sequence[str], talk: Talk, service: Service) -> list[BaseRoute]:
    """The routes of another server's WebSocket protocol.

    paths: the first path explains itself to clients that come without a WebSocket.
    """

    async def serve(websocket: WebSocket) -> None:
        if not service.is_ready:
            await deny(websocket, PlainTextResponse(busy_message(service.is_draining), 503))
            return
        await websocket.accept()
        try:
            await talk(service, websocket)
        except Refused as refused:
            await close(websocket, close_code(refused), refused.message)
        except WebSocketDisconnect:
            pass

    async def explain(request: Request) -> Response:
        scheme = "wss" if request.url.scheme == "https" else "ws"
        place = f"{scheme}://{request.url.netloc}{paths[0]}"
        told = f"{program}'s WebSocket protocol is here: connect to {place}\n"
        return PlainTextResponse(told, 426, {"Upgrade": "websocket"})

    return [Route(paths[0], explain), *(WebSocketRoute(path, serve) for path in paths)]


async def receive(websocket: WebSocket) -> bytes | str:
    """The next message: binary or text. Raises WebSocketDisconnect."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    data = message.get("bytes")
    return bytes(data) if data is not None else str(message["text"])


async def send(websocket: WebSocket, message: dict[str, Any]) -> None:
    """Send JSON. Raises WebSocketDisconnect."""
    await send_text(websocket, json.dumps(message, ensure_ascii=False))


async def send_text(websocket: WebSocket, text: str) -> None:
    """Send a text. Raises WebSocketDisconnect, also if the server itself has closed the connection.

    The server does this without notice if a message is too large or the connection is idle too
    long.
    """
    try:
        await websocket.send_text(text)
    except RuntimeError:
        raise WebSocketDisconnect(1006) from None


async def close(websocket: WebSocket, code: int = NORMAL, reason: str = "") -> None:
    """Close with the reason, cut to fit. The client may have gone already."""
    short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.close(code, short)


async def deny(websocket: WebSocket, response: Response) -> None:
    """Answer a handshake with an HTTP response, or close if the server cannot do that."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(response)
        await asyncio.sleep(0)  # lets uvicorn send it; without this uvicorn logs an error
    else:
        await close(websocket, POLICY_VIOLATION)


def object_in(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises Refused."""
    try:
        parsed = json_in(text)
    except ValueError:
        raise Refused(400, "a text message must be JSON") from None
    if not isinstance(parsed, dict):
        raise Refused(400, "a text message must be a JSON object")
    return parsed


def close_code(refused: Refused) -> int:
    """The close code that fits the refusal best."""
    by_status = {413: TOO_BIG, 429: TRY_AGAIN_LATER, 500: FAILED, 503: TRY_AGAIN_LATER}
    return by_status.get(refused.status, POLICY_VIOLATION)


def busy_message(is_draining: bool) -> str:
    """The message for clients when there is no room."""
    if is_draining:
        return "The server is shutting down. Please retry later."
    return "The server is busy. Please retry later."


@asynccontextmanager
async def fed_by(
    session: Session | ChannelSessions, reading: Coroutine[Any, Any, None]
) -> AsyncIterator[None]:
    """Run a task that feeds a client's messages to the session while the block sends its events.

    When the reading ends with an error, the session ends: its events then raise Refused, or stop.
    """

    async def read() -> None:
        try:
            await reading
        except Refused as refused:
            session.fail(refused)
        except (WebSocketDisconnect, ClientDisconnect):
            session.close()
        except Exception:  # the client gets a refusal in the form of its protocol
            logger.exception("a connection failed")
            session.fail(Refused(500, told_of_fault("connection")))

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        reading.close()  # it may not have begun
