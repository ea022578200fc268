"""Logs: lines for people on a terminal, JSON elsewhere."""

import io
import json
import logging

import pytest

from ds2.serving.logs import LineFormatter, log_to_stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _root_as_before() -> "object":
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers = before
    root.setLevel(level)


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    log_to_stderr()
    logging.getLogger("ds2.serving").info(
        "request", extra={"facts": {"status": 200, "path": "/v1/models", "key": None}}
    )
    return stream.getvalue()


def test_a_terminal_gets_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    line = shown(monkeypatch, Terminal())
    assert line[8:] == "  request  status=200  path=/v1/models\n"


def test_elsewhere_goes_json(monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads(shown(monkeypatch, io.StringIO()))
    assert (record["message"], record["status"]) == ("request", 200)


def test_faults_are_named_and_traced() -> None:
    record = logging.LogRecord("ds2", logging.ERROR, "", 0, "it failed", None, None)
    assert LineFormatter().format(record)[8:] == "  error: it failed"
