"""Makes short-lived keys for live sessions, over HTTP: OpenAI's client secrets."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from ds2.serving.access.client_secrets import LIFETIME_S, LONGEST_S, SHORTEST_S, ClientSecrets
from ds2.serving.access.errors import error_response
from ds2.serving.access.keys import keys_in
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.protocols.openai.realtime.settings import (
    SessionSettings,
    session_body,
    stream_options,
    updated,
)
from ds2.serving.wire.given_json import json_in

LARGEST_BODY = 64 << 10  # bytes


def session_by_key(
    connection: HTTPConnection, client_secrets: ClientSecrets
) -> Mapping[str, Any] | None:
    """The session settings in a client's key, if the key is a client secret; otherwise None."""
    for key in keys_in(connection.scope):
        if (session := client_secrets.session_of(key)) is not None:
            return session
    return None


async def create_client_secret(
    request: Request, service: Service, client_secrets: ClientSecrets
) -> Response:
    """Answer with a key, and the session that it opens."""
    try:
        body = await _receive_json(request)
        session = body.get("session") or {}
        if not isinstance(session, Mapping):
            raise Refused(400, "session: must be an object", "session")
        lifetime_s = _lifetime_s(body)
        settings = updated(SessionSettings(), session)
        await asyncio.to_thread(stream_options, service, settings)  # only to check the settings
        try:
            value, expires_at = client_secrets.mint(session, lifetime_s)
        except ValueError as error:
            raise Refused(400, f"session: {error}", "session") from None
    except Refused as error:
        return error_response(error.status, error.message, error.param)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    told = session_body(service, settings, f"sess_{secrets.token_hex(12)}")
    return JSONResponse({"value": value, "expires_at": expires_at, "session": told})


async def _receive_json(request: Request) -> Mapping[str, Any]:
    """The JSON object in the body; an empty body is an empty object. Raises Refused."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > LARGEST_BODY:
            raise Refused(413, f"the body is larger than {LARGEST_BODY} bytes")
    try:
        body = json_in(data or b"{}")
    except ValueError:
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def _lifetime_s(body: Mapping[str, Any]) -> int:
    """The lifetime of the key, in seconds. Raises Refused."""
    asked: Any = body.get("expires_after")
    seconds = asked.get("seconds", LIFETIME_S) if isinstance(asked, Mapping) else LIFETIME_S
    if not isinstance(seconds, int) or not SHORTEST_S <= seconds <= LONGEST_S:
        told = f"seconds: must be a whole number from {SHORTEST_S} to {LONGEST_S}"
        raise Refused(400, told, "expires_after.seconds")
    return seconds
