"""OpenAI's HTTP interface: `/v1/audio/transcriptions` and `/v1/models`."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from ds2.errors import InputError
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.access.errors import error_body, error_response
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import told_of_fault
from ds2.serving.engine.service import ModelCard, Room, Service
from ds2.serving.engine.session import StreamOptions
from ds2.serving.protocols.openai.answers import (
    json_body,
    logprobs_of,
    text_response,
    verbose_json_body,
)
from ds2.serving.protocols.openai.form import (
    TranscriptionForm,
    close_files,
    read_form,
    receive_form,
)
from ds2.serving.protocols.openai.parameters import find_model, hot_phrases
from ds2.serving.wire.uploads import run_while_wanted
from ds2.text.spacing import join_words
from ds2.transcripts.events import Event, Final, Partial
from ds2.transcripts.transcript import Transcript, together

logger = logging.getLogger(__name__)

CLIENT_CLOSED_REQUEST = 499
"""Nobody reads this answer. The number is for logs; it is known from nginx."""


def routes(service: Service) -> list[BaseRoute]:
    """The routes that OpenAI's clients call."""

    async def transcriptions(request: Request) -> Response:
        return await _transcriptions(request, service)

    async def models(request: Request) -> Response:
        del request
        cards = [_model(card) for card in service.models.values()]
        return JSONResponse({"object": "list", "data": cards})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if (card := service.models.get(name)) is None:
            there = ", ".join(service.models)
            told = f'the model "{name}" is not served here; there are: {there}'
            return error_response(404, told, "model")
        return JSONResponse(_model(card))

    return [
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
    ]


def _model(card: ModelCard) -> dict[str, Any]:
    written_s = card.bundle.model_path.stat().st_mtime
    return {
        "id": card.name,
        "object": "model",
        "created": int(written_s),
        "owned_by": "ds2",
        "language": card.language,  # beyond OpenAI's
    }


async def _transcriptions(request: Request, service: Service) -> Response:
    """Receive a recording, and answer with its transcript."""
    form: FormData | None = None
    try:
        with service.room() as room:
            form = await receive_form(request)
            response = await _respond(request, service, form, room)
    except Refused as error:
        response = error_response(error.status, error.message, error.param)
    except InputError as error:
        response = error_response(400, str(error), "file")
    except ClientDisconnect:
        response = Response(status_code=CLIENT_CLOSED_REQUEST)
    except BaseException:
        if form is not None:
            close_files(form)
        raise
    if form is not None and not isinstance(response, StreamingResponse):
        close_files(form)
    return response


async def _respond(request: Request, service: Service, form: FormData, room: Room) -> Response:
    asked = read_form(form)
    card = find_model(service, asked.model, asked.languages)
    options = await asyncio.to_thread(_options, asked, card)  # keywords may be many
    channel = asked.channels if isinstance(asked.channels, int) else None
    if asked.stream:
        events = service.transcribe_events(asked.file, options, room, channel=channel)
        # A bad recording fails here, while the answer can still be an error.
        first = await run_while_wanted(request, anext(events, None))
        return _event_stream(asked, form, card.language, first, events)
    if asked.channels == "split":
        work = service.transcribe_channels(asked.file, options, room)
    else:
        work = service.transcribe(asked.file, options, room, channel=channel)
    transcript = await run_while_wanted(request, work)
    return await asyncio.to_thread(_answer, asked, card, transcript)  # may be hours long


def _options(asked: TranscriptionForm, card: ModelCard) -> StreamOptions:
    """The options of the stream for the service. Raises Refused."""
    endpoints = None
    if asked.chunking == "auto":
        endpoints = EndpointRules()
    elif asked.chunking is not None:
        endpoints = asked.chunking.rules
    phrases = hot_phrases(
        card.bundle.alphabet,
        keywords=asked.keywords,
        hotwords=asked.hotwords,
        prompt=asked.prompt,
    )
    return StreamOptions(
        model=card.name, endpoints=endpoints, phrases=phrases, partials=asked.stream, is_live=False
    )


def _answer(asked: TranscriptionForm, card: ModelCard, transcript: Transcript) -> Response:
    """The whole transcript in the format that the client wants."""
    if asked.response_format == "json":
        return JSONResponse(json_body(transcript, logprobs=asked.logprobs))
    if asked.response_format == "verbose_json":
        body = verbose_json_body(
            transcript,
            card.bundle.alphabet,
            words="word" in asked.granularities,
            segments="segment" in asked.granularities,
        )
        return JSONResponse(body)
    return text_response(transcript, asked.response_format, asked.shape)


def _event_stream(
    asked: TranscriptionForm,
    form: FormData,
    language: str,
    first: Event | None,
    events: AsyncGenerator[Event, None],
) -> Response:
    """The transcript as server-sent events, while it grows. Closes the form at the end."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    async def work() -> None:
        """Make the events. This is a separate task, so a client that leaves cannot break it off."""
        try:
            async with aclosing(events):
                async for message in _messages(asked, language, first, events):
                    lines.put_nowait(f"data: {json.dumps(message, ensure_ascii=False)}\n\n")
            lines.put_nowait("data: [DONE]\n\n")
        except (Refused, InputError) as error:
            status = error.status if isinstance(error, Refused) else 400
            lines.put_nowait(_error_event(status, str(error)))
        except Exception:  # the answer has begun, so it can only end with an error
            logger.exception("a request failed")
            lines.put_nowait(_error_event(500, told_of_fault("recording")))
        finally:
            lines.put_nowait(None)

    async def send_lines() -> AsyncIterator[str]:
        working = asyncio.create_task(work())
        try:
            while (line := await lines.get()) is not None:
                yield line
        finally:
            working.cancel()
            close_files(form)

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(send_lines(), headers=headers, media_type="text/event-stream")


def _error_event(status: int, message: str) -> str:
    body = json.dumps(error_body(status, message), ensure_ascii=False)
    return f"event: error\ndata: {body}\n\n"


async def _messages(
    asked: TranscriptionForm,
    language: str,
    first: Event | None,
    events: AsyncIterator[Event],
) -> AsyncIterator[dict[str, Any]]:
    """OpenAI's messages: the additions to the text, and the whole text at the end."""
    text = _GrowingText(language)
    finals: list[Transcript] = []
    event = first
    while event is not None:
        if isinstance(event, Final):
            finals.append(event.transcript)
        if delta := text.take(event):
            yield {"type": "transcript.text.delta", "delta": delta}
        event = await anext(events, None)
    transcript = together(finals)
    done: dict[str, Any] = {"type": "transcript.text.done", "text": transcript.text}
    if asked.logprobs:
        done["logprobs"] = logprobs_of(transcript)
    yield done


class _GrowingText:
    """The certain part of a recording's text. It only grows."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._over = ""  # text of final segments
        self._told = ""

    def take(self, event: Event) -> str:
        """The text that the event adds."""
        if isinstance(event, Partial):
            text = join_words((self._over, event.stable), self._language)
        elif isinstance(event, Final):
            text = join_words((self._over, event.transcript.text), self._language)
            self._over = text
        else:
            return ""
        if len(text) <= len(self._told) or not text.startswith(self._told):
            return ""
        delta, self._told = text[len(self._told) :], text
        return delta
