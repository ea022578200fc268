"""Processes, sockets and signals of a server. Only this file knows uvicorn."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

import uvicorn
from starlette.types import ASGIApp

from ds2.errors import InputError
from ds2.recognition.recognizer import Recognizer
from ds2.serving.access.access import build_access
from ds2.serving.access.hosts import is_loopback
from ds2.serving.app import build_app
from ds2.serving.config import ServeSettings
from ds2.serving.engine.service import LAST_WORDS_S, Service
from ds2.serving.logs import log_to_stderr
from ds2.serving.supervisor import Orders, supervise

Load: TypeAlias = Callable[[], Mapping[str, Recognizer]]
"""Loads the models, by name. It must be able to go to another process."""

CLOSE_S = 5
"""Time for connections to close after all streams have ended."""
MARGIN_S = 10.0
"""A worker that runs this long after its end time hangs."""

SWITCH_S = 0.0005
"""After this time one thread lets another run. With Python's 5 ms, messages and steps would wait
for each other, because they leave and enter Python thousands of times a second."""

logger = logging.getLogger(__name__)


def serve(load: Load, settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises InputError if a port or file cannot be used."""
    _check_tls(settings)
    listener = bind_socket(settings.host, settings.port)
    log_to_stderr()
    if not is_loopback(settings.host) and not settings.api_keys:
        logger.warning("anybody who can reach this host can use this server: set API keys")
    if settings.workers == 1:
        _work(load, settings, listener)
    else:
        longest_end_s = settings.drain_s + LAST_WORDS_S + CLOSE_S + MARGIN_S
        supervise(partial(_work, load, settings, listener), settings.workers, longest_end_s)


def _work(
    load: Load, settings: ServeSettings, listener: socket.socket, orders: Orders | None = None
) -> None:
    """One process: load, warm up, serve. orders: from its parent; None: it handles signals."""
    factory = uvicorn.Config("", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        watch = orders.watch if orders else None
        runner.run(run_service(start_service(load, settings), listener, watch))


def start_service(load: Load, settings: ServeSettings) -> Service:
    """Load and warm up the models, and set up this process for the server alone."""
    recognizers = load()
    for recognizer in recognizers.values():
        recognizer.warm_up(settings.chunk_ms / 1000)
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # loaded objects stay: garbage collection can skip them
    return Service(recognizers, settings)


async def run_service(
    service: Service,
    listener: socket.socket,
    watch_signals: Callable[[], asyncio.Event] | None = None,
) -> None:
    """Serve on a socket until a signal; then drain.

    watch_signals: a function that the server calls once it listens; it returns the event that
    ends the server. None: SIGTERM and SIGINT end it.
    """
    settings = service.settings
    server = _Server(_config(build_app(service, build_access(settings)), settings))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if running.done():
            running.result()
        await asyncio.sleep(0.01)
    stopping = (watch_signals or _watch_signals)()
    scheme = "https" if settings.tls_cert else "http"
    host, port = listener.getsockname()[:2]
    logger.info("listening on %s://%s:%d with %s", scheme, host, port, ", ".join(service.models))
    await stopping.wait()
    stopping.clear()
    logger.info("shutting down: %d streams are open", service.num_sessions)
    for each in server.servers:
        each.close()  # to new clients
    draining = asyncio.create_task(service.drain())
    hurry = asyncio.create_task(stopping.wait())  # a second signal
    await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
    draining.cancel()
    hurry.cancel()
    server.should_exit = True
    await service.close()
    await running


class _Server(uvicorn.Server):
    """Ignores signals: at the first signal, uvicorn would close streams that must still drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signal."""
        yield


def _config(app: ASGIApp, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,  # audio does not shrink, and compression takes memory
        # A client that is busy sending answers pings late. The guard closes idle connections.
        ws_ping_timeout=None,
        timeout_graceful_shutdown=CLOSE_S,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        server_header=False,
    )


def _watch_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopping.set)
        except NotImplementedError:  # on Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
    return stopping


def bind_socket(host: str, port: int) -> socket.socket:
    """A bound socket. Raises InputError if another program has the port or binding it fails."""
    bound = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{host}:{port}: cannot be listened on: {reason}") from None
    bound.set_inheritable(True)
    return bound


def _check_tls(settings: ServeSettings) -> None:
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        told = f"{settings.tls_cert} and {settings.tls_key}"
        raise InputError(f"{told}: cannot be used for TLS: {error}") from None
