"""The guard before every request: keys, origins, rates, sizes, time-outs, and the access log."""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from ds2.serving.access.access import Access
from ds2.serving.access.client_secrets import PREFIX
from ds2.serving.access.errors import error_response
from ds2.serving.access.hosts import host_of, is_local, known_hosts, name_of
from ds2.serving.access.keys import keys_in
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import REQUEST_ID, request_id_of, told_of_fault
from ds2.serving.engine.service import Service

OPEN_PATHS = ("/", "/health", "/ready", "/favicon.ico")
OPEN_PLACE = "/page/"
"""Paths without key and rate: the page, and the health checks for other programs."""
SECRETS_PATH = "/v1/realtime"
"""The path that short-lived keys open."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

logger = logging.getLogger(__name__)


class Guard:
    """An ASGI application around another application, with all checks."""

    def __init__(self, app: ASGIApp, service: Service, access: Access) -> None:
        self._app = app
        self._service = service
        self._keys = access.keys
        self._secrets = access.secrets
        self._rates = access.rates
        self._hosts = known_hosts(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        start_s = time.monotonic()
        told: dict[str, Any] = {}
        request_id = request_id_of(_header(scope, b"x-request-id"))
        token = REQUEST_ID.set(request_id)

        async def watched_send(message: Message) -> None:
            if "status" in message:
                told["status"] = message["status"]
            if "status" in message or message["type"] == "websocket.accept":
                named = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), named]}
            await send(message)

        try:
            await self._serve(scope, receive, watched_send, told)
        finally:
            self._log(scope, told, start_s)
            REQUEST_ID.reset(token)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, told: Mapping[str, Any]
    ) -> None:
        """Answer in every case. told: holds the status once the answer has begun."""
        try:
            self._admit(scope)
        except Refused as refused:
            await _refuse(refused, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
            return
        try:
            await self._app(scope, self._bounded(receive), send)
        except Exception:  # if the answer has begun, the server cuts it off
            logger.exception("a request failed", extra={"facts": {"path": scope["path"]}})
            if "status" not in told:
                await error_response(500, told_of_fault("request"))(scope, receive, send)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        idle = _IdleWatch(self._service, receive, send)
        try:
            await self._app(scope, idle.receive, idle.send)
        except WebSocketDisconnect:
            pass  # the client left while the server was sending
        except Exception:
            logger.exception("a connection failed", extra={"facts": {"path": scope["path"]}})
            with suppress(OSError, RuntimeError):
                await send({"type": "websocket.close", "code": 1011})
        finally:
            idle.stop()

    def _admit(self, scope: Scope) -> None:
        """Raise Refused for a request that may not come in."""
        self._check_host(scope)
        self._check_origin(scope)
        if scope.get("method") == "OPTIONS":  # browsers ask this before they send a key
            return
        is_open = scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PLACE)
        if is_open and scope.get("method") in SAFE_METHODS:  # a WebSocket at / has no method
            return
        try:
            self._check_rate(self._check_key(scope))
        except Refused as refused:
            if refused.status == 401:  # attempts to find a key have a rate, too
                self._check_rate(_address(scope))
            raise
        length = _header(scope, b"content-length")
        if length.isdecimal() and int(length) > self._service.settings.max_upload_bytes:
            raise self._too_large()

    def _check_rate(self, client: str) -> None:
        if self._rates is not None and (wait_s := self._rates.wait_s(client)):
            self._service.metrics.refused.labels("rate").inc()
            told = f"too many requests: send the next one in {math.ceil(wait_s)} s"
            raise Refused(429, told)

    def _check_key(self, scope: Scope) -> str:
        """The name of the client's bucket for rates. Raises Refused without a valid key."""
        if not self._keys:
            return _address(scope)
        for key in keys_in(scope):
            if self._keys.holds(key):
                return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
            is_secret = key.startswith(PREFIX) and scope["path"] == SECRETS_PATH
            if is_secret and self._secrets.is_valid(key):
                return key
        self._service.metrics.refused.labels("key").inc()
        raise Refused(401, "a valid API key is needed: send it as Authorization: Bearer KEY")

    def _check_host(self, scope: Scope) -> None:
        """Raise Refused for a host name that is not this server's, if the server knows its names.

        A web page can make its own name point to this machine (DNS rebinding). The browser then
        takes the page for a page of this server and lets it read all answers. An address in place
        of a name is safe: nobody can change where it points.
        """
        if self._hosts is None:
            return
        name = name_of(_header(scope, b"host"))
        if name and name not in self._hosts and not is_local(name):
            self._service.metrics.refused.labels("host").inc()
            told = f'the host name "{name[:200]}" is not served here: see --allow-host'
            raise Refused(403, told)

    def _check_origin(self, scope: Scope) -> None:
        """Raise Refused for web pages of other hosts, unless the settings allow them.

        Browsers let any page open a WebSocket to any host and post forms to it.
        """
        origin = _header(scope, b"origin")
        if not origin or scope.get("method") in SAFE_METHODS:
            return
        allowed = self._service.settings.allowed_origins
        if "*" in allowed or origin in allowed:
            return
        if host_of(origin) != _header(scope, b"host"):
            self._service.metrics.refused.labels("origin").inc()
            raise Refused(403, f"pages of {origin[:200]} may not connect: see --allow-origin")

    def _bounded(self, receive: Receive) -> Receive:
        """`receive` with limits. It raises Refused if a body grows too large or stops coming."""
        num_bytes, is_whole = 0, False
        limit_s = self._service.settings.idle_timeout_s

        async def bounded() -> Message:
            nonlocal num_bytes, is_whole
            if is_whole:
                return await receive()  # the message that the client has gone
            try:
                message = await asyncio.wait_for(receive(), limit_s)
            except TimeoutError:
                self._service.metrics.refused.labels("idle").inc()
                told = f"nothing of the request came for {limit_s:g} s: send it without pauses"
                raise Refused(408, told) from None
            is_whole = not message.get("more_body", False)
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._service.settings.max_upload_bytes:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> Refused:
        self._service.metrics.refused.labels("size").inc()
        limit = self._service.settings.max_upload_bytes
        return Refused(413, f"the request is larger than {limit} bytes: send the audio in parts")

    def _log(self, scope: Scope, told: Mapping[str, Any], start_s: float) -> None:
        """Log the request without its query, which may hold a key."""
        if scope["path"] in ("/health", "/ready", "/metrics"):
            return
        facts = {
            "method": scope.get("method", "WEBSOCKET"),
            "path": scope["path"],
            "client": _address(scope),
            "took_s": round(time.monotonic() - start_s, 3),
            **told,
        }
        logger.info("request", extra={"facts": facts})


class _IdleWatch:
    """Closes a WebSocket without messages for a long time, while the server waits for its client.

    Messages from the server count, too: a client that waits for its last words sends nothing.
    While the model is behind with the client's audio, the client need not send anything either.
    Once the model has caught up, the client has the whole limit again, because its next message
    may still be on its way. There is one timer per connection, not per message, because there are
    many messages.
    """

    def __init__(self, service: Service, receive: Receive, send: Send) -> None:
        self._service = service
        self._receive = receive
        self._send = send
        self._limit_s = service.settings.idle_timeout_s
        self._request_id = REQUEST_ID.get()
        self._loop = asyncio.get_running_loop()
        self._since_s: float | None = None  # start of the wait for the client
        self._was_behind = False  # whether the model was behind at the last look
        self._timer = self._loop.call_later(self._limit_s, self._look)
        self._closing: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        """The next message."""
        self._since_s = self._loop.time()
        message = await self._receive()
        self._since_s = None
        return message

    async def send(self, message: Message) -> None:
        """Send a message."""
        if self._since_s is not None:
            self._since_s = self._loop.time()
        await self._send(message)

    def stop(self) -> None:
        """Stop the timer: the connection is over."""
        self._timer.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        since_s = now_s if self._since_s is None else self._since_s
        is_behind = self._service.is_behind(self._request_id)
        if is_behind or self._was_behind:
            left_s = self._limit_s
        else:
            left_s = since_s + self._limit_s - now_s
        self._was_behind = is_behind
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._closing = self._loop.create_task(self._close())

    async def _close(self) -> None:
        """Close the connection. The task that waits for the client then learns of it."""
        self._service.metrics.refused.labels("idle").inc()
        reason = f"nothing came for {self._limit_s:g} s"
        with suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": 1008, "reason": reason})


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return str(found[0].decode("latin-1")) if found else ""


async def _refuse(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the error, if possible also in the handshake of a WebSocket."""
    response = error_response(refused.status, refused.message, refused.param)
    if scope["type"] == "http":
        await response(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await receive()  # websocket.connect
        await response({**scope, "type": "websocket"}, receive, send)
        await asyncio.sleep(0)  # lets uvicorn send it; without this uvicorn logs an error
    else:
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": refused.message})
