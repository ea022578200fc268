"""vosk-server's WebSocket protocol, at /vosk.

A client may send `{"config": {...}}` first. Then it sends samples, then `{"eof": 1}`. Every binary
message gets exactly one reply. Clients send and receive in turn, so one reply too many or too few
would hang them.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from starlette.routing import BaseRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ds2.audio.samples import Samples
from ds2.ctc.phrases import HotPhrase
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import MOST_ALTERNATIVES, Service
from ds2.serving.engine.session import Session, StreamOptions
from ds2.serving.wire import sockets
from ds2.serving.wire.wav_stream import HeaderOff
from ds2.transcripts.events import Event, Final, Partial
from ds2.transcripts.transcript import Transcript, Word, together

MOST_PHRASES = 1000
UNKNOWN_WORD = "[unk]"
"""Stands for all other words in a vosk grammar. Hot phrases do not need it."""
LONGEST_COMMAND = 64
"""Longest binary message, in bytes, that may be a command: some tools send all as binary."""


@dataclass(frozen=True)
class Config:
    """The settings of a client. It lacks settings of vosk-server that ds2 cannot follow."""

    sample_rate_hz: int | None = None  # None: a WAV header's, or vosk-server's 8000
    words: bool = True
    max_alternatives: int = 0
    phrases: tuple[str, ...] = ()
    model: str | None = None

    def updated(self, given: Mapping[str, Any]) -> "Config":
        """The settings after a config message. Raises Refused."""
        config = self
        if "sample_rate" in given:
            config = replace(config, sample_rate_hz=_whole(given, "sample_rate"))
        if "words" in given:
            config = replace(config, words=bool(given["words"]))
        if "max_alternatives" in given:
            config = replace(config, max_alternatives=max(0, _whole(given, "max_alternatives")))
        if "phrase_list" in given:
            config = replace(config, phrases=_phrases(given["phrase_list"]))
        if "model" in given:
            if not isinstance(given["model"], str):
                raise Refused(400, "model: must be the name of a model", "model")
            config = replace(config, model=given["model"])
        return config

    def options(self, wav_rate_hz: int | None) -> StreamOptions:
        """The stream to open. wav_rate_hz: the rate in a WAV header, which takes precedence."""
        rate_hz = self.sample_rate_hz if wav_rate_hz is None else wav_rate_hz
        return StreamOptions(
            model=self.model,
            sample_rate_hz=8000 if rate_hz is None else rate_hz,
            endpoints=EndpointRules(),
            phrases=tuple(map(HotPhrase, self.phrases)),
            num_alternatives=self._num_others(),
        )

    def _num_others(self) -> int:
        """The number of hypotheses besides the best. At least one, to get the best one's score."""
        if not self.max_alternatives:
            return 0
        return min(max(1, self.max_alternatives - 1), MOST_ALTERNATIVES)


def routes(service: Service) -> list[BaseRoute]:
    """The protocol's route."""
    return sockets.routes_of("vosk-server", ("/vosk",), _serve, service)


async def _serve(service: Service, websocket: WebSocket) -> None:
    talk = _Talk(service, Config(model=websocket.query_params.get("model") or None))
    try:
        while not talk.is_done:
            reply = await talk.answer(await sockets.receive(websocket))
            if reply is not None:
                await sockets.send(websocket, reply)
        if talk.has_split_sample:
            await sockets.close(websocket, sockets.INVALID, sockets.SPLIT_SAMPLE)
        await sockets.close(websocket)
    except Refused as refused:
        with suppress(WebSocketDisconnect, RuntimeError):
            await sockets.send(websocket, await talk.hear_out() | {"error": refused.message})
        raise
    finally:
        talk.close()


class _Talk:
    """One client's connection: its settings, its stream, and its last partial text."""

    def __init__(self, service: Service, config: Config) -> None:
        self.is_done = False
        self._service = service
        self._config = config
        self._header = HeaderOff()
        self._samples = Samples("s16le")
        self._session: Session | None = None
        self._partial = ""

    @property
    def has_split_sample(self) -> bool:
        """Whether a part of a sample is left over."""
        return self._samples.has_rest

    async def answer(self, message: bytes | str) -> dict[str, Any] | None:
        """The reply to a message; None for a config. Raises Refused."""
        command = _command_in(message)
        if command is None:
            assert isinstance(message, bytes)
            return await self._hear(message)
        if "config" in command:
            self._configure(command["config"])
            return None
        if "eof" in command:
            return await self._end()
        if "reset" in command:
            return await self._reset()
        raise Refused(400, 'a text message must hold "config", "eof" or "reset"')

    async def hear_out(self) -> dict[str, Any]:
        """After an error: a result with the text that the client does not have yet."""
        events: list[Event] = []
        if self._session is not None:
            with suppress(Refused):
                await self._session.finish()
            with suppress(Refused):
                async for event in self._session.events():
                    events.append(event)
        finals = _finals(events)
        return result(finals, self._config) if any(final.words for final in finals) else {}

    def close(self) -> None:
        """Close the stream."""
        if self._session is not None:
            self._session.close()

    def _configure(self, given: Any) -> None:
        if not isinstance(given, dict):
            raise Refused(400, "config: must be an object", "config")
        config = self._config.updated(given)
        if self._session is not None and replace(config, words=self._config.words) != self._config:
            raise Refused(400, "config: only words can change after the first audio", "config")
        self._config = config

    async def _hear(self, data: bytes) -> dict[str, Any]:
        data = self._header.feed(data)
        if self._header.is_waiting:
            return {"partial": ""}
        session = await self._open_session()
        await session.feed(self._samples.feed(data))
        await session.catch_up()
        return self._reply(session.take_events())

    async def _open_session(self) -> Session:
        if self._session is None:
            form = self._header.form
            if form is not None:
                self._samples = Samples(form.encoding)
            options = self._config.options(form.sample_rate_hz if form else None)
            self._session = await self._service.open(options)
        return self._session

    def _reply(self, events: Sequence[Event]) -> dict[str, Any]:
        """A result if a segment has ended; otherwise the partial text of the current segment."""
        for event in events:
            if isinstance(event, Partial):
                self._partial = event.text
            elif isinstance(event, Final):
                self._partial = ""
        finals = _finals(events)
        return result(finals, self._config) if finals else {"partial": self._partial}

    async def _reset(self) -> dict[str, Any]:
        """End the segment, and go on."""
        if self._session is None:
            return result([], self._config)
        await self._session.flush()
        await self._session.catch_up()
        finals = _finals(self._session.take_events())
        self._partial = ""
        return result(finals, self._config)

    async def _end(self) -> dict[str, Any]:
        """The last result."""
        self.is_done = True
        if self._session is None:
            return result([], self._config)
        await self._session.finish()
        return result(_finals([event async for event in self._session.events()]), self._config)


def _finals(events: Sequence[Event]) -> list[Transcript]:
    return [event.transcript for event in events if isinstance(event, Final)]


def _command_in(message: bytes | str) -> dict[str, Any] | None:
    """The JSON object of a text message, or of a binary "eof" or "reset"; otherwise None."""
    if isinstance(message, str):
        return sockets.object_in(message)
    if len(message) > LONGEST_COMMAND or message[:1] != b"{":
        return None
    with suppress(Refused):  # samples that begin like JSON
        command = sockets.object_in(message)
        return command if command.keys() & {"eof", "reset"} else None
    return None


def result(finals: Sequence[Transcript], config: Config) -> dict[str, Any]:
    """The final segments as one result. No segments give an empty result."""
    words = [word for final in finals for word in final.words]
    text = together(finals).text if finals else ""
    if not config.max_alternatives:
        shown = {"result": [_word(word) for word in words]} if config.words and words else {}
        return shown | {"text": text}
    best = {"confidence": _score(finals), "text": text}
    if config.words and words:
        best["result"] = [_word(word, with_confidence=False) for word in words]
    others = finals[0].alternatives[1:] if len(finals) == 1 else ()
    rest = [{"confidence": round(each.scores.total, 6), "text": each.text} for each in others]
    return {"alternatives": [best, *rest][: config.max_alternatives]}


def _score(finals: Sequence[Transcript]) -> float:
    """The sum of the best hypotheses' scores, in natural logarithms."""
    best = [final.alternatives[0] for final in finals if final.alternatives]
    return round(sum(each.scores.total for each in best), 6)


def _word(word: Word, *, with_confidence: bool = True) -> dict[str, Any]:
    fields: dict[str, Any] = {"conf": round(word.confidence, 6)} if with_confidence else {}
    return fields | {"end": word.end_s, "start": word.start_s, "word": word.text}


def _whole(given: Mapping[str, Any], name: str) -> int:
    """A whole number: clients send it as an integer, as a string, or with a fraction of zero."""
    try:
        number = float(given[name])
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not number.is_integer():
        raise Refused(400, f"{name}: must be a whole number", name)
    return int(number)


def _phrases(given: Any) -> tuple[str, ...]:
    given = given or []
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise Refused(400, "phrase_list: must be a list of strings", "phrase_list")
    wanted = dict.fromkeys(each for each in given if each.strip() and each != UNKNOWN_WORD)
    if len(wanted) > MOST_PHRASES:
        raise Refused(400, f"phrase_list: must have {MOST_PHRASES} or fewer", "phrase_list")
    return tuple(wanted)
