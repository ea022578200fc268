"""One of many replicas of a server: an application behind Ray's listener."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ds2.serving.access.access import build_access
from ds2.serving.app import build_app, guarded
from ds2.serving.config import ServeSettings
from ds2.serving.engine.metrics import CONTENT_TYPE
from ds2.serving.engine.service import Service
from ds2.serving.logs import log_to_stderr
from ds2.serving.ray.board import Note, merged_metrics
from ds2.serving.server import Load, start_service

BEAT_S = 1.0
"""Time between two notes on the board."""
TOO_BIG = 1009  # a close code of RFC 6455

logger = logging.getLogger(__name__)


class Link(Protocol):
    """A replica's link to the board."""

    def name(self) -> str:
        """The replica's name."""

    def pin(self, note: Note) -> Awaitable[bool]:
        """Pin a note. Returns whether to drain."""

    def notes(self) -> Awaitable[Mapping[str, Note]]:
        """The notes of all replicas."""


class Replica:
    """An ASGI application. It loads its models at the start of its lifespan, then serves.

    Before that it may go to another process.
    """

    def __init__(self, load: Load, settings: ServeSettings, link: Link) -> None:
        self._load = load
        self._settings = settings
        self._link = link
        self._service: Service | None = None
        self._app: ASGIApp | None = None
        self._metrics_app: ASGIApp | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its models still work; true while they load."""
        return self._service is None or self._service.is_alive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._start(receive, send)
            return
        assert self._app is not None
        assert self._metrics_app is not None
        if scope["type"] == "websocket":
            inbox = Inbox(receive, send, self._settings)
            try:
                await self._app(scope, inbox.receive, inbox.send)
            finally:
                inbox.stop()
        elif scope["path"] == "/metrics":
            await self._metrics_app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _start(self, receive: Receive, send: Send) -> None:
        await receive()
        service = await asyncio.to_thread(self._begin)
        self._service = service
        access = build_access(self._settings)
        self._app = build_app(service, access)
        route = Route("/metrics", self._metrics)
        self._metrics_app = guarded([route], service, access)
        telling = asyncio.create_task(self._tell(service))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        telling.cancel()
        await service.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _begin(self) -> Service:
        log_to_stderr()
        return start_service(self._load, self._settings)

    async def _tell(self, service: Service) -> None:
        """Pin a note at every beat. Drain when the board says so."""
        draining: asyncio.Task[None] | None = None
        while True:
            try:
                shall_drain = await self._link.pin(_note(service))
            except Exception:  # Ray may be restarting the board
                logger.warning("the cluster's board does not answer", exc_info=True)
                shall_drain = False
            if shall_drain and draining is None:
                draining = asyncio.create_task(service.drain())
            await asyncio.sleep(BEAT_S)

    async def _metrics(self, request: Request) -> Response:
        """The metrics of all replicas, because a request may reach any of them."""
        del request
        assert self._service is not None
        notes = {**await self._link.notes(), self._link.name(): _note(self._service)}
        text = merged_metrics({name: note.metrics for name, note in notes.items()})
        return Response(text, media_type=CONTENT_TYPE)


def _note(service: Service) -> Note:
    return Note(service.metrics.text().decode(), service.num_sessions)


class Inbox:
    """Takes a WebSocket's messages as they come, and closes it when they are too large.

    Ray's listener does not stop a client whose stream is behind, so its messages would fill the
    memory. The inbox limits the bytes that may wait, and the size of a message.
    """

    def __init__(self, receive: Receive, send: Send, settings: ServeSettings) -> None:
        self._receive = receive
        self._send = send
        self._settings = settings
        self._waiting: deque[Message] = deque()
        self._num_bytes = 0  # of waiting messages
        self._has_come = asyncio.Event()
        self._is_closed = False
        self._last: Message | None = None  # says that the client has gone
        self._taking = asyncio.create_task(self._take())

    async def receive(self) -> Message:
        """The next message. Once the client has gone, always the disconnect message."""
        while not self._waiting:
            if self._last is not None:
                return self._last
            self._has_come.clear()
            await self._has_come.wait()
        message = self._waiting.popleft()
        self._num_bytes -= _size(message)
        return message

    async def send(self, message: Message) -> None:
        """Send a message. Raises OSError if the inbox has closed the connection."""
        if self._is_closed:
            raise OSError("the connection is closed")
        await self._send(message)

    def stop(self) -> None:
        """Stop reading: the connection is over."""
        self._taking.cancel()

    async def _take(self) -> None:
        message: Message = {}
        while message.get("type") != "websocket.disconnect":
            try:
                message = await self._receive()
            except Exception:  # Ray's listener is gone, and the client with it
                message = {"type": "websocket.disconnect", "code": 1006}
            self._num_bytes += _size(message)
            if (reason := self._excess(message)) is not None:
                await self._close(reason)
                return
            self._waiting.append(message)
            self._has_come.set()
        self._last = message

    def _excess(self, message: Message) -> str | None:
        if _size(message) > self._settings.max_message_bytes:
            return f"a message is larger than {self._settings.max_message_bytes} bytes"
        if self._num_bytes > self._settings.max_upload_bytes:
            return f"over {self._settings.max_upload_bytes} bytes wait: send more slowly"
        return None

    async def _close(self, reason: str) -> None:
        self._is_closed = True
        self._waiting.clear()
        self._last = {"type": "websocket.disconnect", "code": TOO_BIG}
        self._has_come.set()
        with contextlib.suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": TOO_BIG, "reason": reason})


def _size(message: Message) -> int:
    text = message.get("text")
    return len(message.get("bytes") or b"") + (len(text.encode()) if text else 0)
