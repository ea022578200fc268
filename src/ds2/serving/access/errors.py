"""Errors as HTTP answers them, in the shape that clients of OpenAI take apart."""

from typing import Any

from starlette.responses import JSONResponse, Response

RETRY_AFTER_S = 1  # clients wait so long before they ask a busy server again

_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 503: "server_overloaded"}


def error_body(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """An error, as OpenAI's clients take it apart.

    param: the parameter that is wrong, by the name it was sent under.
    """
    kind = "invalid_request_error"
    if status == 429:
        kind = "requests"
    elif status >= 500:
        kind = "server_error"
    code = "model_not_found" if (status, param) == (404, "model") else _CODES.get(status)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(status: int, message: str, param: str | None = None) -> Response:
    """The same as an answer; a busy server's says when to come back."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else None
    return JSONResponse(error_body(status, message, param), status, headers)
