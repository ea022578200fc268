"""The figures of a server that Prometheus collects."""

import os
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    from ds2.serving.engine.dispatch import Report

SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the directory in which processes add up their counts."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters, gauges and histograms, by model. Their names begin with ds2_."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()

        def gauge(name: str, told: str, labels: tuple[str, ...]) -> Gauge:
            return Gauge(
                f"ds2_{name}",
                told,
                labels,
                registry=registry,
                multiprocess_mode="livesum",  # the sum over processes that are alive
            )

        def counter(name: str, told: str, labels: tuple[str, ...]) -> Counter:
            return Counter(f"ds2_{name}", told, labels, registry=registry)

        def histogram(name: str, told: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"ds2_{name}", told, ("model",), registry=registry, buckets=buckets)

        self.streams = gauge("streams", "Streams that are open.", ("model", "kind"))
        self.streams_ended = counter(
            "streams_ended", "Streams by how they ended.", ("model", "ending")
        )
        self.refused = counter("refused", "Requests turned down, by the limit met.", ("reason",))
        self._audio = counter("audio_seconds", "Audio that the models have taken.", ("model",))
        self._busy = counter("busy_seconds", "Time spent in steps and decoding.", ("model",))
        self._batch = histogram("batch_size", "Streams in a step.", SIZES)
        self._step = histogram("step_seconds", "Time of a step of the network.", SECONDS)
        self._decode = histogram("decode_seconds", "Time to decode a step's outputs.", SECONDS)
        self._delay = histogram("queueing_seconds", "From a chunk's arrival to its step.", SECONDS)
        self._latency = histogram(
            "latency_seconds", "From the arrival of a live chunk to its result.", SECONDS
        )

    def observe(self, model: str, report: "Report") -> None:
        """Count a step."""
        if not report.batch_size:
            return
        self._batch.labels(model).observe(report.batch_size)
        self._step.labels(model).observe(report.step_s)
        self._decode.labels(model).observe(report.decode_s)
        self._audio.labels(model).inc(report.audio_s)
        self._busy.labels(model).inc(report.step_s + report.decode_s)
        delay, latency = self._delay.labels(model), self._latency.labels(model)
        for delay_s in report.delays_s:
            delay.observe(delay_s)
        for latency_s in report.latencies_s:
            latency.observe(latency_s)

    def text(self) -> bytes:
        """All figures in the text form of Prometheus, over all processes of this server."""
        if SHARED_DIRECTORY not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def forget_process(shared: str, process_id: int | None) -> None:
    """Take the open streams of a process that died out of the gauges."""
    mark_process_dead(process_id, shared)  # type: ignore[no-untyped-call]
