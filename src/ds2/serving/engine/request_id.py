"""The name of the request that the server answers. It connects an answer with lines of the log."""

import re
import secrets
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Set for each request, and in the tasks and threads that it starts. None: there is no request."""

_SOUND = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_of(given: str) -> str:
    """The name that a client or a proxy gives a request, if a log can hold it; else a new one."""
    return given if _SOUND.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def told_of_fault(what: str, request_id: str | None = None) -> str:
    """The message to a client about an error that is the server's fault.

    request_id: None: the request that the server answers.
    """
    request_id = request_id or REQUEST_ID.get()
    where = f" under {request_id}" if request_id else ""
    return f"this {what} failed; the server's log tells why{where}"
