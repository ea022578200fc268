"""A server as replicas on a Ray cluster. Only this file of the server knows Ray."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ds2.cores import usable_cores
from ds2.errors import InputError
from ds2.installation import needing
from ds2.serving.config import ServeSettings
from ds2.serving.engine.service import LAST_WORDS_S
from ds2.serving.logs import log_to_stderr
from ds2.serving.ray.board import Board, Note
from ds2.serving.ray.replica import BEAT_S, Replica
from ds2.serving.server import Load, bind_socket

LOCAL = "local"
"""Not an address: ds2 starts a cluster on this machine and stops it at the end."""
NAME = "ds2"
"""The application's name on the cluster. A second application of this name replaces the first."""
BOARD = "ds2-board"
SPARE_REQUESTS = 100
"""Requests besides streams: health checks, and requests that our own limits refuse."""
OBJECT_STORE_BYTES = 100_000_000  # streams do not use it; Ray needs at least 75 MB
HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 5.0, 30.0

# Streams are long, and people wait at their start. So scale up sooner than Ray's defaults.
METRICS_INTERVAL_S, LOOK_BACK_S, UPSCALE_DELAY_S = 1.0, 5.0, 3.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scale:
    """The cluster, and the number of replicas."""

    address: str = LOCAL  # a cluster's address, "auto" or LOCAL
    min_replicas: int = 2
    max_replicas: int = 2  # if above min_replicas, the number follows the streams
    streams_per_replica: int = 16  # streams that each replica should have
    downscale_delay_s: float = 300.0  # time with too many replicas before Ray stops one

    def __post_init__(self) -> None:
        least = {"min_replicas": 1, "max_replicas": self.min_replicas, "streams_per_replica": 1}
        for name, lowest in least.items():
            if (value := getattr(self, name)) < lowest:
                raise ValueError(f"{name}: must be at least {lowest}, not {value}")


def serve_on_ray(load: Load, settings: ServeSettings, scale: Scale) -> None:
    """Serve until SIGTERM or SIGINT. Raises InputError if there is no such cluster."""
    _check(settings)
    if scale.address == LOCAL:  # otherwise the port is another machine's
        bind_socket(settings.host, settings.port).close()
    log_to_stderr()
    with _cluster(settings, scale) as ray:
        from ray import serve

        serve.start(proxy_location="EveryNode", http_options=_http_options(settings))
        board = _make_board(ray)
        try:
            serve.run(_application(serve, load, settings, scale), name=NAME, route_prefix="/")
            scheme = "https" if settings.tls_cert else "http"
            place = f"{scheme}://{settings.host}:{settings.port}"
            logger.info("listening on %s with replicas on Ray", place)
            stopping = _watch_signals()
            while not stopping.wait(0.5):
                pass
            stopping.clear()
            _drain(ray, board, settings, stopping)
        finally:
            if scale.address != LOCAL:  # a local cluster ends as a whole
                serve.delete(NAME)
                ray.kill(board)


def _check(settings: ServeSettings) -> None:
    if settings.workers != 1:
        raise InputError("--ray: its replicas are processes: leave out --workers")
    if settings.port == 0:
        raise InputError("--port 0: not with --ray: give a number")


@contextlib.contextmanager
def _cluster(settings: ServeSettings, scale: Scale) -> Iterator[Any]:
    """Connect to Ray, and disconnect at the end."""
    options: dict[str, Any] = {}
    if scale.address == LOCAL:
        # Ray only counts processors. Offer enough, so that all replicas start on this machine.
        wanted = _num_cpus(settings) * scale.max_replicas
        options = {
            "num_cpus": max(usable_cores(), wanted),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with needing("ray", "serve", told="--ray"):
        import ray
        import ray.serve
    try:
        ray.init(address=scale.address, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--ray {scale.address}: no such cluster: {reason}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _make_board(ray: Any) -> Any:
    """Start a board, and return its handle. It replaces a board that a killed server has left."""
    with contextlib.suppress(ValueError):
        ray.kill(ray.get_actor(BOARD, NAME))
    actor = ray.remote(num_cpus=0, max_restarts=-1)(Board)
    options = {"name": BOARD, "namespace": NAME, "lifetime": "detached"}
    board = actor.options(**options).remote()
    ray.get(board.notes.remote())
    return board


@dataclass(frozen=True)
class _Link:
    """A replica's link to the board, through Ray."""

    def name(self) -> str:
        from ray import serve

        return str(serve.get_replica_context().replica_id.unique_id)

    async def pin(self, note: Note) -> bool:
        return bool(await self._board().pin.remote(self.name(), note))

    async def notes(self) -> Mapping[str, Note]:
        notes: Mapping[str, Note] = await self._board().notes.remote()
        return notes

    def _board(self) -> Any:
        import ray

        return ray.get_actor(BOARD, NAME)


class _Watched:
    """Ray's health check of a replica."""

    app: Replica  # set by serve.ingress

    def check_health(self) -> None:
        """Raises RuntimeError if Ray must replace the replica."""
        if not self.app.is_alive:
            raise RuntimeError("a model has stopped working")


def _application(serve: Any, load: Load, settings: ServeSettings, scale: Scale) -> Any:
    """The application for Ray Serve."""
    replica = Replica(load, settings, _Link())
    if scale.max_replicas > scale.min_replicas:
        number: dict[str, Any] = {
            "autoscaling_config": {
                "min_replicas": scale.min_replicas,
                "max_replicas": scale.max_replicas,
                "target_ongoing_requests": scale.streams_per_replica,
                "metrics_interval_s": METRICS_INTERVAL_S,
                "look_back_period_s": LOOK_BACK_S,
                "upscale_delay_s": UPSCALE_DELAY_S,
                "downscale_delay_s": scale.downscale_delay_s,
            }
        }
    else:
        number = {"num_replicas": scale.min_replicas}
    deployment = serve.deployment(
        serve.ingress(replica)(_Watched),
        name=NAME,
        ray_actor_options={"num_cpus": _num_cpus(settings)},
        # Beyond this, Ray lets handshakes wait without an answer. Our own limit answers with 503.
        max_ongoing_requests=2 * settings.max_streams + SPARE_REQUESTS,
        health_check_period_s=HEALTH_PERIOD_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=settings.drain_s + LAST_WORDS_S,
        **number,
    )
    return deployment.bind()


def _num_cpus(settings: ServeSettings) -> int:
    return settings.num_threads or usable_cores()


def _http_options(settings: ServeSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"host": settings.host, "port": settings.port}
    if settings.tls_cert is not None:
        options |= {
            "ssl_certfile": str(settings.tls_cert.absolute()),
            "ssl_keyfile": str((settings.tls_key or settings.tls_cert).absolute()),
        }
    return options


def _watch_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _drain(ray: Any, board: Any, settings: ServeSettings, hurry: threading.Event) -> None:
    """Let all streams end, within the time in the settings or until a second signal."""
    notes = ray.get(board.notes.remote())
    num_streams = sum(note.num_sessions for note in notes.values())
    logger.info("shutting down: %d streams are open", num_streams)
    ray.get(board.drain.remote())
    deadline_s = time.monotonic() + settings.drain_s + LAST_WORDS_S
    hurry.wait(2 * BEAT_S)  # until all replicas know, and have sent a new note
    while time.monotonic() < deadline_s and not hurry.wait(0.2):
        if not any(note.num_sessions for note in ray.get(board.notes.remote()).values()):
            return
