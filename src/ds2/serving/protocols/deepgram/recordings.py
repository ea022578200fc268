"""Deepgram's POST /v1/listen: recordings."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ds2.audio import DownMix
from ds2.audio.samples import Samples
from ds2.errors import InputError
from ds2.serving.engine.channels import ChannelSessions
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import ModelCard, Room, Service, transcript_of
from ds2.serving.engine.session import Session
from ds2.serving.protocols.deepgram import answers
from ds2.serving.protocols.deepgram.query import Query, query_of
from ds2.serving.wire import sockets
from ds2.serving.wire.uploads import receive_file, run_while_wanted, wait_until_gone
from ds2.serving.wire.wav_stream import HeaderOff
from ds2.transcripts.events import Final
from ds2.transcripts.transcript import Transcript, together

if TYPE_CHECKING:
    from hashlib import _Hash


async def transcribe(service: Service, request: Request) -> Response:
    """The answer to a recording in the body: a file, or samples if the query has an encoding."""
    facts = answers.RequestFacts()
    try:
        query = query_of(request.query_params, tuple(service.models))
        if request.headers.get("content-type", "").startswith("application/json"):
            raise Refused(400, "url: this server fetches nothing: send the audio itself", "url")
        sha256 = hashlib.sha256()
        body = _hash_along(request, sha256)
        with service.room() as room:
            if query.encoding:
                transcript = await _transcribe_samples(service, request, room, body, query)
            else:
                transcript = await _transcribe_file(service, request, room, body, query)
    except InputError as error:
        return answers.refusal(Refused(400, str(error)), facts.id)
    except Refused as refused:
        return answers.refusal(refused, facts.id)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    facts.card = _card(service, query, transcript)
    told = answers.recording_body(
        transcript, facts, sha256.hexdigest(), utterances=query.utterances
    )
    return JSONResponse(told, headers={"dg-request-id": facts.id})


async def _hash_along(request: Request, sha256: "_Hash") -> AsyncIterator[bytes]:
    async for data in request.stream():
        sha256.update(data)
        yield data


async def _transcribe_file(
    service: Service, request: Request, room: Room, body: AsyncIterator[bytes], query: Query
) -> Transcript:
    """The transcript of a file in any format."""
    with closing(await receive_file(body)) as file:
        hear = service.transcribe_channels if query.multichannel else service.transcribe
        work = hear(cast(BinaryIO, file), query.options(), room)
        return await run_while_wanted(request, work)


async def _transcribe_samples(
    service: Service,
    request: Request,
    room: Room,
    body: AsyncIterator[bytes],
    query: Query,
) -> Transcript:
    """The transcript of samples, or of a WAV file that the client announced as samples."""
    encoding = query.encoding
    assert encoding is not None
    header, mix = HeaderOff(), DownMix("the audio")
    samples = Samples(encoding, query.num_channels)
    num_left = service.settings.max_upload_s * query.sample_rate_hz

    async def read() -> None:
        nonlocal num_left
        async for data in body:
            waveform = samples.feed(header.feed(data))
            if header.form is not None:
                header.form.check(encoding, query.sample_rate_hz)
            num_left -= len(waveform)
            if num_left < 0:
                limit = service.settings.max_upload_s
                raise Refused(413, f"the recording lasts over {limit:g} s: send it in parts")
            await session.feed(waveform if query.multichannel else mix.feed(waveform))
        if samples.has_rest:
            raise Refused(400, sockets.SPLIT_SAMPLE)
        await session.finish()
        await wait_until_gone(request)
        raise ClientDisconnect

    session: Session | ChannelSessions
    if query.multichannel:
        channels_opening = service.open_channels(query.options(), query.num_channels, room)
        async with await channels_opening as session, sockets.fed_by(session, read()):
            transcript = await transcript_of(session)
            if not session.is_done:
                raise ClientDisconnect
            return transcript
    opening = service.open(query.options(), room)
    async with await opening as session, sockets.fed_by(session, read()):
        events = [event async for event in session.events()]
        if not session.is_done:
            raise ClientDisconnect
    return together([event.transcript for event in events if isinstance(event, Final)])


def _card(service: Service, query: Query, transcript: Transcript) -> ModelCard:
    """The model that made the transcript."""
    if query.model is not None:
        return service.models[query.model]
    cards = service.models.values()
    return next(card for card in cards if card.language == transcript.language)
