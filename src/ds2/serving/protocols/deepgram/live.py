"""Deepgram's /v1/listen: a WebSocket for live audio, and POST for recordings."""

import hashlib
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ds2.audio import SAMPLE_RATE_HZ, DownMix
from ds2.audio.samples import Samples
from ds2.serving.engine.channels import ChannelSessions
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import Session
from ds2.serving.protocols.deepgram import answers
from ds2.serving.protocols.deepgram.query import Query, query_of
from ds2.serving.protocols.deepgram.recordings import transcribe
from ds2.serving.wire import sockets
from ds2.serving.wire.containers import ContainerStream
from ds2.serving.wire.wav_stream import HeaderOff
from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart
from ds2.transcripts.transcript import Transcript

PATH = "/v1/listen"


def routes(service: Service) -> list[BaseRoute]:
    """The protocol's routes."""

    async def listen(websocket: WebSocket) -> None:
        await _listen(service, websocket)

    async def post(request: Request) -> Response:
        return await transcribe(service, request)

    return [WebSocketRoute(PATH, listen), Route(PATH, post, methods=["POST"])]


async def _listen(service: Service, websocket: WebSocket) -> None:
    facts = answers.RequestFacts()
    try:
        if not service.is_ready:
            raise Refused(503, sockets.busy_message(service.is_draining))
        query = query_of(websocket.query_params, tuple(service.models))
        session = await _open(service, query) if query.encoding else None
    except Refused as refused:
        await sockets.deny(websocket, answers.refusal(refused, facts.id))
        return
    live = _Live(service, websocket, query, session, facts)
    try:
        offered = websocket.scope.get("subprotocols") or [None]  # "token" and a browser's key
        await websocket.accept(offered[0], headers=[(b"dg-request-id", facts.id.encode())])
        await live.run()
    except Refused as refused:
        with suppress(WebSocketDisconnect, RuntimeError):
            await sockets.send(websocket, answers.error_message(refused))
        await sockets.close(websocket, sockets.close_code(refused), refused.message)
    except WebSocketDisconnect:
        pass
    finally:
        live.close()


async def _open(service: Service, query: Query) -> Session | ChannelSessions:
    """A session for samples of the encoding in the query."""
    if query.multichannel:
        return await service.open_channels(query.live_options(), query.num_channels)
    return await service.open(query.live_options())


class _Live:
    """One client's stream: reads its messages, and sends the events that it asked for."""

    def __init__(
        self,
        service: Service,
        websocket: WebSocket,
        query: Query,
        session: Session | ChannelSessions | None,
        facts: answers.RequestFacts,
    ) -> None:
        """session: None if the audio's header must say which session to open."""
        self._service = service
        self._websocket = websocket
        self._query = query
        self._session = session
        self._facts = facts
        self._header = HeaderOff()
        self._samples = Samples(query.encoding or "s16le", query.num_channels)
        self._container: ContainerStream | None = None  # for neither samples nor WAV
        self._sha256 = hashlib.sha256()
        num_channels = query.num_channels if query.multichannel else 1
        self._mix = DownMix("the audio")
        self._tellers = [
            _Teller(websocket, query, facts, index, num_channels) for index in range(num_channels)
        ]

    async def run(self) -> None:
        """Serve until the end of the stream. Raises Refused, WebSocketDisconnect."""
        first = b""
        while self._session is None:
            if (data := await self._receive_audio()) is None:
                await self._end(0.0)
                return
            first += self._header.feed(data)
            if not self._header.is_waiting:
                self._session = await self._open_session()
        session = self._session
        self._facts.card = self._service.models[session.model]
        async with sockets.fed_by(session, self._read(session, first)):
            await self._tell_events(session)
            if not session.is_done:
                return  # the client has gone
        await self._end(session.heard_s)

    async def _tell_events(self, session: Session | ChannelSessions) -> None:
        sessions = session.sessions if isinstance(session, ChannelSessions) else (session,)
        try:
            if isinstance(session, ChannelSessions):
                async for index, event in session.events():
                    await self._tellers[index].tell(event, sessions[index])
            else:
                async for event in session.events():
                    await self._tellers[0].tell(event, session)
        finally:  # also if the server ends the stream
            for teller, each in zip(self._tellers, sessions, strict=True):
                await teller.finish(each)

    def close(self) -> None:
        """Close the stream."""
        if self._container is not None:
            self._container.end()
        if self._session is not None:
            self._session.close()

    async def _open_session(self) -> Session:
        """The session for audio whose header says its format."""
        if self._query.multichannel:
            told = "multichannel: live audio needs encoding and channels: a file is not split"
            raise Refused(400, told, "multichannel")
        form = self._header.form
        if form is None:
            session = await self._service.open(self._query.live_options(SAMPLE_RATE_HZ))
            self._container = ContainerStream(session, self._service.settings.max_upload_bytes)
            return session
        self._samples = Samples(form.encoding, 1)
        return await self._service.open(self._query.live_options(form.sample_rate_hz))

    async def _read(self, session: Session | ChannelSessions, first: bytes) -> None:
        """Feed the stream until the client ends it."""
        await self._feed(session, first)
        while (data := await self._receive_audio()) is not None:
            if self._container is None:
                data = self._take_header_off(data, session)
            await self._feed(session, data)
            sessions = session.sessions if isinstance(session, ChannelSessions) else (session,)
            for teller, each in zip(self._tellers, sessions, strict=True):
                await teller.tell_utterance_end(each)
        if self._container is None:
            await session.finish()
        else:
            self._container.end()  # it finishes the session after the last samples

    async def _feed(self, session: Session | ChannelSessions, data: bytes) -> None:
        if self._container is None:
            samples = self._samples.feed(data)
            await session.feed(samples if self._query.multichannel else self._mix.feed(samples))
        else:
            await self._container.feed(data)

    def _take_header_off(self, data: bytes, session: Session | ChannelSessions) -> bytes:
        """Remove a header: clients may send one although the query names an encoding."""
        data = self._header.feed(data)
        if self._header.form is not None:
            rate_hz = session.options.sample_rate_hz
            self._header.form.check(self._samples.encoding, rate_hz)
        return data

    async def _receive_audio(self) -> bytes | None:
        """The next binary message; None at the end. Follows the text messages in between."""
        while True:
            message = await sockets.receive(self._websocket)
            if isinstance(message, bytes):
                self._sha256.update(message)
                return message or None  # an empty message is the old way to close a stream
            kind = sockets.object_in(message).get("type")
            if kind == "CloseStream":
                return None
            if kind == "Finalize":
                if self._session is not None:
                    await self._session.flush()
            elif kind == "Configure":
                await sockets.send(self._websocket, answers.configure_failure(self._facts))
            elif kind != "KeepAlive":
                known = "KeepAlive, Finalize or CloseStream"
                raise Refused(400, f"type: must be {known}, not {str(kind)[:40]}")

    async def _end(self, duration_s: float) -> None:
        """Send the metadata of the whole stream, and close."""
        sha256, num_channels = self._sha256.hexdigest(), len(self._tellers)
        facts = self._facts.of_all(duration_s, sha256, num_channels=num_channels)
        await sockets.send(self._websocket, {"type": "Metadata", **facts})
        if self._samples.has_rest:
            refused = Refused(400, sockets.SPLIT_SAMPLE)
            await sockets.send(self._websocket, answers.error_message(refused))
            await sockets.close(self._websocket, sockets.INVALID, sockets.SPLIT_SAMPLE)
        await sockets.close(self._websocket)


class _Teller:
    """Sends a client the results of one channel."""

    def __init__(
        self,
        websocket: WebSocket,
        query: Query,
        facts: answers.RequestFacts,
        index: int,
        num_channels: int,
    ) -> None:
        self._websocket = websocket
        self._query = query
        self._facts = facts
        self._place = [index, num_channels]
        self._start_s = 0.0  # of the current segment
        self._final: Transcript | None = None  # not sent yet: the reason for its end comes next
        self._last_word_end_s: float | None = None  # until its UtteranceEnd is sent

    async def finish(self, session: Session) -> None:
        """Send the last words, if no endpoint has followed them."""
        if self._final is not None:
            await self._tell_final(self._final, session.heard_s, "end")

    async def tell(self, event: Event, session: Session) -> None:
        match event:
            case SpeechStart(time_s) if self._query.vad_events:
                told = {"type": "SpeechStarted", "channel": self._place, "timestamp": time_s}
                await sockets.send(self._websocket, told)
            case Partial(text=text):
                if text:
                    self._last_word_end_s = None  # somebody speaks
                if self._query.interim_results:
                    await self._tell_partial(text, session.heard_s)
            case Final(transcript):
                self._final = transcript
            case Endpoint(time_s, reason) if self._final is not None:
                await self._tell_final(self._final, time_s, reason)
                await self.tell_utterance_end(session)

    async def _tell_partial(self, text: str, heard_s: float) -> None:
        channel = answers.partial_channel(text)
        told = answers.live_result(
            channel, self._facts, start_s=self._start_s, end_s=heard_s, place=self._place
        )
        await sockets.send(self._websocket, told)

    async def _tell_final(self, transcript: Transcript, end_s: float, reason: str) -> None:
        told = answers.live_result(
            answers.channel_of(transcript),
            self._facts,
            start_s=self._start_s,
            end_s=end_s,
            place=self._place,
            is_final=True,
            speech_final=self._query.tells_endpoints and reason != "length",
            from_finalize=reason == "request",
        )
        self._final, self._start_s = None, end_s
        if transcript.words:
            self._last_word_end_s = transcript.words[-1].end_s
        await sockets.send(self._websocket, told)

    async def tell_utterance_end(self, session: Session) -> None:
        """Send an UtteranceEnd, once after words, after the silence that the client asked for."""
        gap_s, end_s = self._query.utterance_end_s, self._last_word_end_s
        if gap_s is not None and end_s is not None and session.heard_s - end_s >= gap_s:
            self._last_word_end_s = None
            told = {"type": "UtteranceEnd", "channel": self._place, "last_word_end": end_s}
            await sockets.send(self._websocket, told)
