"""Logs: lines for people on a terminal; JSON elsewhere, for programs that collect logs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from ds2.serving.engine.request_id import REQUEST_ID


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, the record's `facts`, an exception's text."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts_of(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class LineFormatter(logging.Formatter):
    """A record as a line: time of day, level (unless INFO), message, and the record's `facts`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        facts = _facts_of(record)
        told = "".join(f"  {name}={value}" for name, value in facts.items() if value is not None)
        lines = [f"{time}  {level}{record.getMessage()}{told}"]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return "\n".join(lines)


def _facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The facts of a record, and its request if it belongs to one."""
    facts: dict[str, Any] = getattr(record, "facts", {})
    request_id = REQUEST_ID.get()
    return facts if request_id is None else {"request": request_id, **facts}


def log_to_stderr(level: str = "INFO") -> None:
    """Write all records from this level on to standard error, as JSON if it is not a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter() if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("ds2.compilation", "ds2.audio", "ds2.ngram"):  # not in the command's own form
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # The guard writes the access log. uvicorn's log holds the query, which may hold a key.
    for name in ("uvicorn", "websockets"):
        logging.getLogger(name).setLevel("WARNING")
    logging.getLogger("uvicorn.error").addFilter(_is_worth_telling)
    logging.getLogger("python_multipart").setLevel("ERROR")  # it logs faults of clients


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """False for two messages of uvicorn.

    uvicorn logs them for every handshake that we answer with an error, and for every answer that
    an error of ours cuts off. The guard has logged these already.
    """
    told = str(record.msg)
    return told not in (
        "ASGI callable returned without completing handshake.",
        "ASGI callable returned without completing response.",
    )
