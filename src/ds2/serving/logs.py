"""Logs: lines for people on a terminal; elsewhere JSON, for the machines that gather them."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from ds2.serving.engine.request_id import REQUEST_ID


class JsonFormatter(logging.Formatter):
    """time, level, logger, message; the `facts` of a record; an exception as text."""

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
    """Time of day, level unless it is information, message, and the `facts` of a record."""

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
    """The facts of a record, with the request that it belongs to, if any."""
    facts: dict[str, Any] = getattr(record, "facts", {})
    request_id = REQUEST_ID.get()
    return facts if request_id is None else {"request": request_id, **facts}


def log_to_stderr(level: str = "INFO") -> None:
    """Write all records from this level on to standard error: as JSON, if that is no terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter() if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("ds2.compilation", "ds2.audio", "ds2.ngram"):  # the command's own lines end here
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # The guard writes the access log: theirs hold the query, in which there may be a key.
    for name in ("uvicorn", "websockets"):
        logging.getLogger(name).setLevel("WARNING")
    logging.getLogger("uvicorn.error").addFilter(_is_worth_telling)
    logging.getLogger("python_multipart").setLevel("ERROR")  # what a client sends is its affair


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """uvicorn says this of every handshake that is answered with an error of our own, and of every
    answer that an error of ours cuts off, which is logged already."""
    told = str(record.msg)
    return told not in (
        "ASGI callable returned without completing handshake.",
        "ASGI callable returned without completing response.",
    )
