"""The board of a cluster: what its replicas tell of themselves, and what all of them shall do."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

STALE_S = 10.0
"""A replica that has told nothing for so long is gone."""


@dataclass(frozen=True)
class Note:
    """What a replica tells of itself."""

    metrics: str  # in Prometheus' text form
    num_sessions: int  # streams and uploads that are open


class Board:
    """One in a cluster: replicas pin their notes to it, and read there whether to drain."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[float, Note]] = {}
        self._is_draining = False

    def pin(self, replica: str, note: Note) -> bool:
        """Replace a replica's note; whether all shall let their streams end, and open none."""
        self._notes[replica] = (time.monotonic(), note)
        return self._is_draining

    def notes(self) -> Mapping[str, Note]:
        """The notes of the replicas that live."""
        oldest_s = time.monotonic() - STALE_S
        self._notes = {name: each for name, each in self._notes.items() if each[0] >= oldest_s}
        return {name: note for name, (_, note) in self._notes.items()}

    def drain(self) -> None:
        """Let all replicas come to an end."""
        self._is_draining = True


class _Families(Collector):
    """Metrics as Prometheus' library hands them on."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def merged_metrics(texts: Mapping[str, str]) -> str:
    """Metrics of several replicas as one text, each sample labelled with its replica's name."""
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
