"""Two workers of a local Ray cluster: one is killed at work; then the same as without Ray.

    python tests/ray_workers.py DIRECTORY

Writes DIRECTORY/part with what came of it, and here.jsonl and ray.jsonl, which must be equal.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.cli import main
from ds2.corpora.work.on_ray import LOCAL, RayActors
from ds2.corpora.work.resumable import do_all
from ds2.manifest import Utterance

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class DieOnce:
    """Return each utterance's line; the first call for line 10 kills its process."""

    marker: str
    model: str = str(ROOT / "models" / "en")

    def facts(self) -> dict[str, Any]:
        return {}

    def start(self) -> Callable[[Utterance], dict[str, Any]]:
        def work(utterance: Utterance) -> dict[str, Any]:
            if utterance.line == 10 and not Path(self.marker).exists():
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return {"line": utterance.line, "process": os.getpid()}

        return work


def run(directory: Path) -> None:
    utterances = [Utterance(Path(f"/{index}.wav"), line=index) for index in range(40)]
    work = DieOnce(str(directory / "killed"))
    do_all(work, utterances, directory / "part", RayActors(LOCAL, 2))
    samples = ROOT / "samples" / "manifest-en.jsonl"
    command = ["corpus", "align", str(samples), "-m", work.model, "-o"]
    assert main([*command, str(directory / "here.jsonl")]) == 0
    output = str(directory / "ray.jsonl")
    assert main([*command, output, "--ray", "local", "--workers", "2"]) == 0


if __name__ == "__main__":
    run(Path(sys.argv[1]))
