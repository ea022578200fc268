"""OpenAI's Realtime interface, for live transcription: the WebSocket `/v1/realtime`."""

import asyncio
import base64
import binascii
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ds2.audio.samples import Samples
from ds2.serving.access.client_secrets import ClientSecrets
from ds2.serving.access.errors import error_body
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import told_of_fault
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import Session, StreamOptions
from ds2.serving.protocols.openai.realtime.keys import create_client_secret, session_by_key
from ds2.serving.protocols.openai.realtime.settings import (
    SessionSettings,
    session_body,
    stream_options,
    updated,
)
from ds2.serving.protocols.openai.realtime.turns import (
    Message,
    Turns,
    error_message,
    nothing_to_commit,
)
from ds2.serving.wire import sockets
from ds2.serving.wire.given_json import json_in

FEED_S = 1.0
"""Seconds of audio to feed at once. A message may hold more audio than may wait for the model."""


logger = logging.getLogger(__name__)


def routes(service: Service, client_secrets: ClientSecrets) -> list[BaseRoute]:
    """`/v1/realtime`, and the route that makes short-lived keys for it."""

    async def connect(websocket: WebSocket) -> None:
        await _serve(websocket, service, client_secrets)

    async def create(request: Request) -> Response:
        return await create_client_secret(request, service, client_secrets)

    return [
        WebSocketRoute("/v1/realtime", connect),
        Route("/v1/realtime/client_secrets", create, methods=["POST"]),
    ]


async def _serve(websocket: WebSocket, service: Service, client_secrets: ClientSecrets) -> None:
    offered = websocket.scope.get("subprotocols") or []
    # A browser closes a connection if the answer selects none of its offered subprotocols.
    await websocket.accept("realtime" if "realtime" in offered else None)
    session = session_by_key(websocket, client_secrets) or {}
    model = websocket.query_params.get("model")
    connection = _Connection(websocket, service)
    try:
        await connection.run(SessionSettings(model=model), session)
    except WebSocketDisconnect:
        pass  # the client may leave at any time
    finally:
        await connection.close()


class _Connection:
    """A client's connection. One task reads its messages, another sends the stream's events."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._session_id = f"sess_{secrets.token_hex(12)}"
        self._turns = Turns(SessionSettings())
        self._samples = Samples("s16le")
        self._options: StreamOptions | None = None
        self._stream: Session | None = None  # the first audio opens it
        self._teller: asyncio.Task[None] | None = None
        self._is_closed = False
        self._handlers = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
        }

    async def run(self, settings: SessionSettings, session: Mapping[str, Any]) -> None:
        """Serve the client until it goes.

        settings, session: the first settings, from the address and from the key.
        """
        try:
            settings = updated(settings, session)
            await self._apply(settings)
        except Refused as error:
            await self._close_for(error)
            return
        await self._tell_settings("created")
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._handle(message.get("text"))

    async def _handle(self, text: str | None) -> None:
        """Handle a message. Send the client an error if this fails."""
        event_id: str | None = None
        try:
            message = _parsed(text)
            given = message.get("event_id")
            event_id = given if isinstance(given, str) else None
            handler = self._handlers.get(message["type"])
            if handler is None:
                told = f'"{message["type"]}" is not offered: this server only transcribes'
                raise Refused(400, told, "type")
            await handler(message, event_id)
        except Refused as error:
            if error.status >= 429:  # there is no stream: all further audio would be lost
                await self._close_for(error, event_id)
            else:
                await self._send(_error(error, event_id))

    async def _update(self, message: Mapping[str, Any], event_id: str | None) -> None:
        """`session.update`: change the settings from here on."""
        del event_id
        session = message.get("session")
        if not isinstance(session, Mapping):
            raise Refused(400, "session: must be an object", "session")
        await self._apply(updated(self._turns.settings, session))
        await self._tell_settings("updated")

    async def _apply(self, settings: SessionSettings) -> None:
        """Apply new settings. If the stream's options change, it ends, and its audio is a turn."""
        options = await asyncio.to_thread(stream_options, self._service, settings)
        if options.endpoints is None:
            settings = replace(settings, turns=None)
        if options != self._options or settings.encoding != self._samples.encoding:
            await self._end_stream()
            self._options = options
            self._samples = Samples(settings.encoding)
        self._turns.settings = settings

    async def _append(self, message: Mapping[str, Any], event_id: str | None) -> None:
        """`input_audio_buffer.append`: take more audio, in base64."""
        del event_id
        try:
            data = base64.b64decode(message.get("audio") or "", validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise Refused(400, "audio: must be bytes in base64", "audio") from None
        waveform = self._samples.feed(data)
        if not len(waveform):
            return
        stream = self._stream or await self._begin_stream()
        rate = self._turns.settings.sample_rate_hz
        step = round(FEED_S * rate)
        for start in range(0, len(waveform), step):
            piece = waveform[start : start + step]
            await stream.feed(piece)  # while the model is behind, this waits, and the client too
            self._turns.heard_s += len(piece) / rate

    async def _commit(self, message: Mapping[str, Any], event_id: str | None) -> None:
        """`input_audio_buffer.commit`: end the turn here."""
        del message
        if self._stream is None:
            await self._send(nothing_to_commit(0.0, event_id))
            return
        self._turns.request("commit", event_id)
        await self._end_segment(self._stream)

    async def _clear(self, message: Mapping[str, Any], event_id: str | None) -> None:
        """`input_audio_buffer.clear`: drop the turn."""
        del message
        if self._stream is None:
            await self._send({"type": "input_audio_buffer.cleared"})
            return
        self._turns.request("clear", event_id)
        await self._end_segment(self._stream)

    async def _end_segment(self, stream: Session) -> None:
        """End the current segment. For a model of whole utterances, this ends the stream."""
        if self._service.models[stream.model].bundle.model.streaming:
            await stream.flush()
        else:
            await self._end_stream()

    async def _begin_stream(self) -> Session:
        assert self._options is not None  # since `run` began
        self._stream = await self._service.open(self._options)
        self._turns.begin_stream()
        self._teller = asyncio.create_task(self._tell_events(self._stream))
        return self._stream

    async def _tell_events(self, stream: Session) -> None:
        """Send all events of a stream, to its end."""
        try:
            async for event in stream.events():
                for message in list(self._turns.take(event)):  # all messages before the next event
                    await self._send(message)
            for message in list(self._turns.end_stream()):
                await self._send(message)
        except Refused as error:
            await self._close_for(error)
        except WebSocketDisconnect:
            pass  # the reading task learns of it, too
        except Exception:  # the client must not wait for ever
            logger.exception("a live session failed")
            await self._close_for(Refused(500, told_of_fault("session")))

    async def _end_stream(self) -> None:
        """End the stream, if there is one, and wait for its last events."""
        stream, teller = self._stream, self._teller
        self._stream = self._teller = None
        if stream is not None and teller is not None:
            await stream.finish()
            await teller
            stream.close()

    async def close(self) -> None:
        """Close the stream: the client has gone."""
        if self._teller is not None:
            self._teller.cancel()
            await asyncio.wait([self._teller])
        if self._stream is not None:
            self._stream.close()

    async def _tell_settings(self, how: Literal["created", "updated"]) -> None:
        session = session_body(self._service, self._turns.settings, self._session_id)
        await self._send({"type": f"session.{how}", "session": session})

    async def _send(self, message: Message) -> None:
        """Send a message, unless the server has closed the connection."""
        if not self._is_closed:
            await self._write(message)

    async def _write(self, message: Message) -> None:
        named = {"event_id": f"event_{secrets.token_hex(12)}", **message}
        await sockets.send(self._websocket, named)

    async def _close_for(self, error: Refused, event_id: str | None = None) -> None:
        """Send the client an error and close. This happens once, even if both tasks fail."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._write(_error(error, event_id))
        await sockets.close(self._websocket, sockets.close_code(error), error.message)


def _parsed(text: str | None) -> Mapping[str, Any]:
    """A client's message. Raises Refused if it is not valid."""
    if text is None:
        raise Refused(400, "send JSON as text: audio comes as base64 in it")
    try:
        message = json_in(text)
    except ValueError:
        raise Refused(400, "this is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Refused(400, "type: a message must be an object with a type", "type")
    return message


def _error(error: Refused, event_id: str | None) -> Message:
    """An error message, with the content of an HTTP answer."""
    told = error_body(error.status, error.message, error.param)["error"]
    return error_message(
        told["message"],
        kind=told["type"],
        code=told["code"] or "invalid_value",
        param=told["param"],
        event_id=event_id,
    )
