"""Settings of a server: what it listens on, how it batches, and the limits that protect it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ServeSettings:
    """All settings of `ds2 serve`. A limit of None is no limit."""

    host: str = "127.0.0.1"  # 0.0.0.0 for all interfaces
    port: int = 8000  # 0: any that is free
    tls_cert: Path | None = None  # PEM files; both or neither
    tls_key: Path | None = None
    workers: int = 1  # processes, each with a replica of every model
    num_threads: int = 1  # processor cores for a step of a model
    decode_threads: int = 1  # that decode a step's outputs; one: the model's own
    batch_size: int = 32  # most streams in a step
    chunk_ms: float = 120.0  # audio of a stream in a step: less is sooner, more is cheaper
    max_streams: int = 64  # at once, in one process, uploads too; then 503
    max_buffer_s: float = 8.0  # audio of a stream that waits; then its sender has to
    idle_timeout_s: float = 60.0  # nothing heard from a client for so long: closed
    max_message_bytes: int = 1 << 20  # of a WebSocket message
    max_upload_bytes: int = 200 << 20  # of a request's body
    max_upload_s: float = 4 * 3600.0  # audio in an upload
    requests_per_minute: float | None = None  # of a key, or of an address where there are no keys
    drain_s: float = 30.0  # for streams to end by themselves at a shutdown
    api_keys: tuple[str, ...] = ()  # none: everybody may
    allowed_origins: tuple[str, ...] = ()  # web pages of other hosts that may connect; "*": all
    allowed_hosts: tuple[str, ...] = ()  # names that may be asked for on loopback, or, if any are
    # given, anywhere; "*": all
    vad: bool = False  # a voice-activity detector listens for endpoints, too
    log_transcripts: bool = False

    def __post_init__(self) -> None:
        _require(self, "port", 0 <= self.port <= 65535, "0 to 65535")
        for name in ("workers", "decode_threads", "batch_size", "max_streams"):
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        _require(self, "num_threads", self.num_threads >= 0, "at least 0")
        _require(self, "max_message_bytes", self.max_message_bytes >= 1024, "at least 1024")
        _require(self, "max_upload_bytes", self.max_upload_bytes >= 1024, "at least 1024")
        _require(self, "chunk_ms", 10 <= self.chunk_ms <= 2000, "10 to 2000")
        _require(self, "max_buffer_s", self.max_buffer_s >= 5, "at least 5")  # over two chunks
        _require(self, "idle_timeout_s", self.idle_timeout_s > 0, "more than 0")
        _require(self, "max_upload_s", self.max_upload_s > 0, "more than 0")
        _require(self, "drain_s", self.drain_s >= 0, "at least 0")
        rate = self.requests_per_minute
        _require(self, "requests_per_minute", rate is None or rate > 0, "more than 0")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert: needs tls_key, and the other way round")


def _require(settings: ServeSettings, name: str, is_met: bool, wanted: str) -> None:
    value: Any = getattr(settings, name)
    if not is_met:
        raise ValueError(f"{name}: must be {wanted}, not {value}")
