"""Errors as HTTP answers, in the form that clients of OpenAI read."""

from typing import Any

from starlette.responses import JSONResponse, Response

RETRY_AFTER_S = 1  # time for clients to wait before they ask a busy server again

_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 503: "server_overloaded"}


def error_body(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """An error in the form that OpenAI's clients read.

    param: the wrong parameter, by the name that the client sent.
    """
    kind = "invalid_request_error"
    if status == 429:
        kind = "requests"
    elif status >= 500:
        kind = "server_error"
    code = "model_not_found" if (status, param) == (404, "model") else _CODES.get(status)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(status: int, message: str, param: str | None = None) -> Response:
    """The error as an answer. A busy server's answer says when to try again."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else None
    return JSONResponse(error_body(status, message, param), status, headers)
