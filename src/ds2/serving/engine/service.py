"""The service that all wire protocols use: live sessions and uploads, for all models."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from ds2.audio import SAMPLE_RATE_HZ, Channels, audio_blocks, probe_audio
from ds2.audio.pcm import check_form
from ds2.errors import InputError
from ds2.model.bundle import Bundle
from ds2.recognition.recognizer import Recognizer
from ds2.recognition.streams import Stream, WholeStream
from ds2.recognition.voice import VoiceDetector
from ds2.serving.config import ServeSettings
from ds2.serving.engine.channels import MOST_CHANNELS, ChannelSessions
from ds2.serving.engine.dispatch import Dispatcher, Line, Report
from ds2.serving.engine.metrics import Metrics
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import told_of_fault
from ds2.serving.engine.session import Session, StreamOptions
from ds2.text.language import language_of_name
from ds2.transcripts.channels import merged
from ds2.transcripts.events import Event, Final
from ds2.transcripts.transcript import Transcript, together

UPLOAD_BLOCK_S = 2.0
"""Audio that is read of an upload at once."""
MOST_ALTERNATIVES = 50
LAST_WORDS_S = 5.0
"""Time for the last words of streams that a shutdown ends."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelCard:
    """What clients may know about a model."""

    name: str
    bundle: Bundle

    @property
    def language(self) -> str:
        return self.bundle.language


class Room:
    """A place for a recording that is still on its way; it counts as one of the streams."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._is_held = True
        service.num_held += 1

    def leave(self) -> None:
        """Give the place up. A second call does nothing, as after a session has taken it over."""
        if self._is_held:
            self._is_held = False
            self._service.num_held -= 1


class Service:
    """The models, a dispatcher for each, and the sessions that are open."""

    def __init__(
        self, recognizers: Mapping[str, Recognizer], settings: ServeSettings | None = None
    ) -> None:
        """recognizers: by the names that clients give; the first is the default.

        Raises InputError if the settings want a voice detector and it is not installed.
        """
        self.settings = settings or ServeSettings()
        self.metrics = Metrics()
        self.models: Mapping[str, ModelCard] = MappingProxyType(
            {name: ModelCard(name, each.bundle) for name, each in recognizers.items()}
        )
        self.is_draining = False
        self._recognizers = dict(recognizers)
        self._detector = VoiceDetector() if self.settings.vad else None
        self._loop: asyncio.AbstractEventLoop | None = None  # of all sessions
        self._sessions: dict[Line, Session] = {}
        self.num_held = 0  # places that have no session yet
        self._dispatchers = {
            name: Dispatcher(
                partial(self._hear_report, name),
                batch_size=self.settings.batch_size,
                decode_threads=self.settings.decode_threads,
            )
            for name in recognizers
        }

    @property
    def num_sessions(self) -> int:
        """The number of open streams and uploads."""
        return len(self._sessions) + self.num_held

    @property
    def is_ready(self) -> bool:
        """Whether the service has room for a session now."""
        return not self.is_draining and self.num_sessions < self.settings.max_streams

    @property
    def is_alive(self) -> bool:
        """Whether the dispatchers of all models run."""
        return all(dispatcher.is_alive for dispatcher in self._dispatchers.values())

    def is_behind(self, request_id: str | None) -> bool:
        """Whether a stream of this request waits for its model. Then its client must wait, too."""
        return any(
            session.is_behind
            for line, session in self._sessions.items()
            if line.request_id == request_id
        )

    @contextmanager
    def room(self) -> Iterator[Room]:
        """Take a place for a recording before it is received. Raises Refused if none is free.

        Without room, the server refuses the recording before the client has sent it.
        """
        self._check_room()
        room = Room(self)
        try:
            yield room
        finally:
            room.leave()

    async def open(self, options: StreamOptions, room: Room | None = None) -> Session:
        """A new session. room: the place that it takes over. Raises Refused."""
        if room is None:
            with self.room() as room:
                return await self.open(options, room)
        self._loop = asyncio.get_running_loop()
        card = self._card(options)
        self._check(options)
        try:
            stream = await asyncio.to_thread(self._new_stream, card.name, options)
        except InputError as error:
            raise Refused(400, str(error), "phrases") from None
        line = self._dispatchers[card.name].add(stream, is_live=options.is_live)
        session = Session(line, card.name, options, self.settings, self._forget)
        self._sessions[line] = session
        room.leave()
        self.metrics.streams.labels(card.name, _kind(options)).inc()
        return session

    async def open_channels(
        self, options: StreamOptions, num_channels: int, room: Room | None = None
    ) -> ChannelSessions:
        """Open sessions, one for each channel of a stream. Raises Refused.

        Each takes a place. room: the place of the first.
        """
        if not 1 <= num_channels <= MOST_CHANNELS:
            told = f"channels: must be 1 to {MOST_CHANNELS}, not {num_channels}"
            raise Refused(400, told, "channels")
        sessions: list[Session] = []
        try:
            for _ in range(num_channels):
                sessions.append(await self.open(options, None if sessions else room))
        except BaseException:
            for session in sessions:
                session.close()
            raise
        return ChannelSessions(sessions)

    def _forget(self, session: Session) -> None:
        del self._sessions[session.line]
        self.metrics.streams.labels(session.model, _kind(session.options)).dec()
        self.metrics.streams_ended.labels(session.model, session.ending).inc()
        logger.info("stream ended", extra={"facts": session.facts()})

    async def transcribe(
        self,
        source: BinaryIO | Path | bytes,
        options: StreamOptions,
        room: Room | None = None,
        *,
        channel: int | None = None,
    ) -> Transcript:
        """The transcript of a recording in any format. It is never live, whatever the options say.

        room: the place that it takes over. channel: the only one that is heard, from 1; None is
        the mix of all. Raises Refused; InputError for what cannot be read.
        """
        finals = [
            event.transcript
            async for event in self.transcribe_events(source, options, room, channel=channel)
            if isinstance(event, Final)
        ]
        return together(finals)

    async def transcribe_events(
        self,
        source: BinaryIO | Path | bytes,
        options: StreamOptions,
        room: Room | None = None,
        *,
        channel: int | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of a recording, as they come; otherwise like `transcribe`."""
        options = replace(options, is_live=False, sample_rate_hz=SAMPLE_RATE_HZ)
        heard: Channels = "mix" if channel is None else channel
        async with await self.open(options, room) as session, self._reading(source, session, heard):
            async for event in session.events():
                yield event

    async def transcribe_channels(
        self, source: BinaryIO | Path | bytes, options: StreamOptions, room: Room | None = None
    ) -> Transcript:
        """The transcript of a recording, each channel by itself; otherwise like `transcribe`."""
        options = replace(options, is_live=False, sample_rate_hz=SAMPLE_RATE_HZ)
        num_channels = await asyncio.to_thread(_num_channels, source)
        opening = self.open_channels(options, num_channels, room)
        async with await opening as sessions, self._reading(source, sessions, "split"):
            return await transcript_of(sessions)

    @asynccontextmanager
    async def _reading(
        self,
        source: BinaryIO | Path | bytes,
        session: Session | ChannelSessions,
        channels: Channels,
    ) -> AsyncIterator[None]:
        """Let a task read the recording while the block takes its events."""
        reading = asyncio.create_task(self._read(source, session, channels))
        try:
            yield
            await reading
        except Refused:
            if reading.done():
                await reading  # a fault of the recording comes first
            raise
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # reported already, or nobody needs it

    async def _read(
        self,
        source: BinaryIO | Path | bytes,
        session: Session | ChannelSessions,
        channels: Channels,
    ) -> None:
        blocks = audio_blocks(source, block_s=UPLOAD_BLOCK_S, channels=channels)
        audio_s = 0.0
        try:
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                audio_s += len(block) / SAMPLE_RATE_HZ
                if audio_s > self.settings.max_upload_s:
                    limit = self.settings.max_upload_s
                    raise Refused(413, f"the recording lasts over {limit:g} s: send it in parts")
                await session.feed(block)
            await session.finish()
        except InputError as error:
            session.fail(Refused(400, str(error)))
            raise
        except Refused as refused:
            session.fail(refused)
            raise
        except Exception:  # a fault of ds2 or of a decoder: nobody may wait for ever
            session.fail(Refused(500, told_of_fault("recording")))
            raise

    async def drain(self) -> None:
        """Refuse new sessions and let the open ones end. After `drain_s`, end them."""
        self.is_draining = True
        deadline_s = time.monotonic() + self.settings.drain_s
        while self.num_sessions and time.monotonic() < deadline_s:
            await asyncio.sleep(0.05)
        for session in tuple(self._sessions.values()):
            session.end(Refused(503, "the server is shutting down"))
        deadline_s = time.monotonic() + LAST_WORDS_S
        while self.num_sessions and time.monotonic() < deadline_s:
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Stop the dispatchers. Sessions that are still open fail."""
        self.is_draining = True
        for session in tuple(self._sessions.values()):
            session.fail(Refused(503, "the server is shutting down"))
        for dispatcher in self._dispatchers.values():
            await asyncio.to_thread(dispatcher.stop)

    def _card(self, options: StreamOptions) -> ModelCard:
        """The model that the options ask for. Raises Refused if there is none."""
        names = ", ".join(self.models)
        if options.model is not None:
            if options.model not in self.models:
                raise Refused(404, f'no model "{options.model}": there are {names}', "model")
            return self.models[options.model]
        if not options.language:
            return next(iter(self.models.values()))
        language = language_of_name(options.language)
        for card in self.models.values():
            if card.language == language:
                return card
        raise Refused(
            400, f'no model of language "{options.language}": there are {names}', "language"
        )

    def _check_room(self) -> None:
        """Raise Refused if the service has no room."""
        if self.is_draining:
            raise Refused(503, "the server is shutting down")
        if self.num_sessions >= self.settings.max_streams:
            self.metrics.refused.labels("streams").inc()
            limit = self.settings.max_streams
            raise Refused(503, f"all {limit} streams are taken: try again later")

    def _check(self, options: StreamOptions) -> None:
        """Raise Refused if the server is shutting down or an option is impossible."""
        if self.is_draining:
            raise Refused(503, "the server is shutting down")
        if not 0 <= options.num_alternatives <= MOST_ALTERNATIVES:
            told = f"alternatives: must be 0 to {MOST_ALTERNATIVES}, not {options.num_alternatives}"
            raise Refused(400, told, "alternatives")
        try:
            check_form(options.sample_rate_hz, 1, "the audio")
        except InputError as error:
            raise Refused(400, str(error), "sample_rate") from None

    def _new_stream(self, name: str, options: StreamOptions) -> Stream | WholeStream:
        return self._recognizers[name].stream(
            chunk_s=self.settings.chunk_ms / 1000,
            endpoints=options.endpoints if self.models[name].bundle.model.streaming else None,
            voice=self._detector,
            phrases=options.phrases,
            num_alternatives=options.num_alternatives or None,
        )

    def _hear_report(self, model: str, report: Report) -> None:
        """Count a report and pass its updates on to the event loop; in a dispatcher's thread."""
        try:
            self.metrics.observe(model, report)
        except Exception:  # for example a full disk; the streams must go on
            logger.exception("a step could not be counted")
        with suppress(RuntimeError):  # the loop is closed: nobody needs the updates
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._deliver, report)

    def _deliver(self, report: Report) -> None:
        for update in report.updates:
            if (session := self._sessions.get(update.line)) is None:
                continue
            try:
                session.take(update)
            except Exception:  # a fault of ds2: nobody may wait for ever
                facts = {"request": update.line.request_id}
                logger.exception("a stream failed", extra={"facts": facts})
                session.fail(Refused(500, told_of_fault("stream", update.line.request_id)))
        for line, num_settled in report.settled:
            if (session := self._sessions.get(line)) is not None:
                session.settle(num_settled)


async def transcript_of(sessions: ChannelSessions) -> Transcript:
    """One transcript of the events of all channels. Raises Refused."""
    finals: list[list[Transcript]] = [[] for _ in sessions.sessions]
    async for index, event in sessions.events():
        if isinstance(event, Final):
            finals[index].append(event.transcript)
    return merged([together(each) for each in finals])


def _num_channels(source: BinaryIO | Path | bytes) -> int:
    """The number of channels of a recording; then rewinds it. Raises InputError."""
    num_channels = probe_audio(source).num_channels
    if not isinstance(source, Path | bytes):
        source.seek(0)
    return num_channels


def _kind(options: StreamOptions) -> str:
    return "live" if options.is_live else "upload"
