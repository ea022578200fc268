"""Settings of a server: its address, its batches, and the limits that protect it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ServeSettings:
    """All settings of `ds2 serve`. A limit of None is no limit."""

    host: str = "127.0.0.1"  # 0.0.0.0 for all interfaces
    port: int = 8000  # 0: any free port
    tls_cert: Path | None = None  # PEM files; give both or neither
    tls_key: Path | None = None
    workers: int = 1  # processes, each with a replica of every model
    num_threads: int = 1  # processor cores for a step of a model
    decode_threads: int = 1  # threads that decode a step's outputs; 1: the model's own thread
    batch_size: int = 32  # most streams in a step
    chunk_ms: float = 120.0  # audio of a stream in a step: less gives text sooner, more is cheaper
    max_streams: int = 64  # most streams and uploads at once, per process; more get 503
    max_buffer_s: float = 8.0  # most audio of a stream that may wait; then its sender must wait
    idle_timeout_s: float = 60.0  # the server closes a connection after this time without news
    max_message_bytes: int = 1 << 20  # largest WebSocket message
    max_upload_bytes: int = 200 << 20  # largest body of a request
    max_upload_s: float = 4 * 3600.0  # longest audio in an upload
    requests_per_minute: float | None = None  # per API key, or per address if there are no keys
    drain_s: float = 30.0  # time for streams to end by themselves at a shutdown
    api_keys: tuple[str, ...] = ()  # none: anybody may use the server
    allowed_origins: tuple[str, ...] = ()  # web pages of other hosts that may connect; "*": all
    # host names that clients may use; the server checks them on loopback, or everywhere if any
    # are given; "*": all names
    allowed_hosts: tuple[str, ...] = ()
    vad: bool = False  # a voice-activity detector helps to find endpoints
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
            raise ValueError("tls_cert: needs tls_key, and tls_key needs tls_cert")


def _require(settings: ServeSettings, name: str, is_met: bool, wanted: str) -> None:
    value: Any = getattr(settings, name)
    if not is_met:
        raise ValueError(f"{name}: must be {wanted}, not {value}")
