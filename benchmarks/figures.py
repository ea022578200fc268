"""The figures that a benchmark has measured, for the one table that `bench.py` prints."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "DS2_FIGURES"
"""The environment variable with the file for figures. Without it, no figure is kept."""


@dataclass(frozen=True)
class Figure:
    """A measured figure of ours and, if there is a peer, the peer's figure."""

    name: str  # the same in every run: `bench.py` looks up by it what the documentation claims
    unit: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; None without a peer, or if a figure is 0."""
        if not self.ours or not self.theirs:
            return None
        return self.ours / self.theirs if self.more_is_better else self.theirs / self.ours


def keep(figure: Figure) -> None:
    """Append the figure to the file in the environment variable."""
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(figure)) + "\n")


def kept(path: Path) -> list[Figure]:
    """The figures in a file, in the order of the measurements."""
    if not path.exists():
        return []
    return [Figure(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
