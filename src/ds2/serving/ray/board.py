"""The board of a cluster: what its replicas tell of themselves, and what all of them shall do."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

STALE_S = 10.0
"""A replica that has told nothing for so long is gone."""

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (.*)")


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


def together(texts: Mapping[str, str]) -> str:
    """Metrics of several replicas as one text, each sample labelled with its replica's name."""
    comments: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for replica, text in sorted(texts.items()):
        family = ""
        for line in text.splitlines():
            if line.startswith("#"):
                family = line.split(" ", 3)[2]
                told = comments.setdefault(family, [])
                if line not in told:
                    told.append(line)
            elif (found := SAMPLE.fullmatch(line)) is not None:
                name, labels, value = found.groups()
                labels = f'{labels},replica="{replica}"' if labels else f'replica="{replica}"'
                samples.setdefault(family, []).append(f"{name}{{{labels}}} {value}")
    lines = [line for name in comments for line in (*comments[name], *samples.get(name, ()))]
    return "\n".join(lines) + "\n"
