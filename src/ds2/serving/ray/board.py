"""The board of a cluster: the notes of its replicas, and the order to drain."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

STALE_S = 10.0
"""A replica without a new note for this time is gone."""


@dataclass(frozen=True)
class Note:
    """A replica's note about itself."""

    metrics: str  # in Prometheus' text form
    num_sessions: int  # open streams and uploads


class Board:
    """The only board of a cluster. Replicas pin their notes to it, and read whether to drain."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[float, Note]] = {}
        self._is_draining = False

    def pin(self, replica: str, note: Note) -> bool:
        """Replace a replica's note. Returns whether all replicas must drain: open no streams."""
        self._notes[replica] = (time.monotonic(), note)
        return self._is_draining

    def notes(self) -> Mapping[str, Note]:
        """The notes of the live replicas."""
        oldest_s = time.monotonic() - STALE_S
        self._notes = {name: each for name, each in self._notes.items() if each[0] >= oldest_s}
        return {name: note for name, (_, note) in self._notes.items()}

    def drain(self) -> None:
        """Order all replicas to drain."""
        self._is_draining = True


class _Families(Collector):
    """A collector of given metrics, for Prometheus' library."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def merged_metrics(texts: Mapping[str, str]) -> str:
    """The metrics of several replicas as one text. Each sample is labelled with its replica."""
    merged: dict[str, Metric] = {}
    for replica, text in sorted(texts.items()):
        for family in text_string_to_metric_families(text):
            samples = [
                sample._replace(labels={**sample.labels, "replica": replica})
                for sample in family.samples
            ]
            merged.setdefault(family.name, family)
            if merged[family.name] is family:
                family.samples = samples
            else:
                merged[family.name].samples += samples
    return generate_latest(_Families(list(merged.values()))).decode()
