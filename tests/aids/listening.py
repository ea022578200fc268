"""A real server for tests, in a thread, on a free port."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings
from ds2.serving.engine.service import Service
from ds2.serving.server import bind_socket, run_service


@contextmanager
def listening(
    recognizers: dict[str, Recognizer], settings: ServeSettings | None = None
) -> Iterator[str]:
    """Serve models during the context; gives the host and port."""
    with serving(recognizers, settings) as (at, _):
        yield at


@contextmanager
def serving(
    recognizers: dict[str, Recognizer], settings: ServeSettings | None = None
) -> Iterator[tuple[str, Service]]:
    """The same, with its service, so that a test can look inside."""
    service = Service(recognizers, settings or ServeSettings(drain_s=0.0))
    listener = bind_socket("127.0.0.1", 0)
    host, port = listener.getsockname()
    started = threading.Event()
    stop: list[asyncio.Event] = []
    loops: list[asyncio.AbstractEventLoop] = []

    def signalled() -> asyncio.Event:
        stop.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        started.set()
        return stop[0]

    thread = threading.Thread(target=lambda: asyncio.run(run_service(service, listener, signalled)))
    thread.start()
    assert started.wait(30)
    try:
        yield f"{host}:{port}", service
    finally:
        loops[0].call_soon_threadsafe(stop[0].set)
        thread.join()
