"""The records of a run for people: metrics.jsonl, sample transcripts, TensorBoard events."""

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.files import atomic_write
from ds2.training.run.evaluate import Evaluation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"
NUM_SAMPLES = 50
"""Number of transcripts that an evaluation keeps, spread evenly over the set."""


class Journal:
    """Appends to a run's records. In a resumed run, it drops records that will come again."""

    def __init__(self, run_dir: Path, step: int, evaluated_step: int) -> None:
        """step: the step of the checkpoint that the run goes on from."""
        self._metrics_path = run_dir / METRICS
        self._samples_dir = run_dir / "samples"
        self._drop_after(step, evaluated_step)
        self._metrics = self._metrics_path.open("a", encoding="utf-8")
        self._board = _board(run_dir / "tensorboard", step + 1)

    @property
    def draws_curves(self) -> bool:
        """Whether TensorBoard is installed."""
        return self._board is not None

    def train(self, step: int, **facts: Any) -> None:
        """Write a line about the steps since the last line of this kind."""
        self._line("train", step, facts)

    def evaluated(self, kind: str, step: int, evaluation: Evaluation, **facts: Any) -> None:
        """Write a line about an evaluation, and some of its transcripts."""
        rates = {"wer": evaluation.wer, "cer": evaluation.cer, "loss": evaluation.loss}
        stride = max(1, evaluation.num_utterances // NUM_SAMPLES)
        with atomic_write(self._samples_dir / f"{kind}-{step:08d}.jsonl") as file:
            for item in evaluation.transcribed[::stride]:
                sample = {
                    "utterance": item.where,
                    "reference": item.reference,
                    "hypothesis": item.hypothesis,
                }
                file.write(json.dumps(sample, ensure_ascii=False) + "\n")
        self._line(kind, step, {**facts, **rates, "num_utterances": evaluation.num_utterances})

    def event(self, step: int, kind: str, **facts: Any) -> None:
        """Write a line about an unusual event."""
        self._line(kind, step, facts)

    def close(self) -> None:
        """Write out what is pending."""
        self._metrics.close()
        if self._board:
            self._board.close()

    def _line(self, kind: str, step: int, facts: dict[str, Any]) -> None:
        record: dict[str, Any] = {"kind": kind, "step": step}
        for name, value in facts.items():
            is_number = isinstance(value, float)
            record[name] = None if is_number and not math.isfinite(value) else value
            if is_number and self._board:
                self._board.add_scalar(f"{kind}/{name}", value, step)
        record["time"] = round(time.time(), 3)
        self._metrics.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._metrics.flush()

    def _drop_after(self, step: int, evaluated_step: int) -> None:
        """Delete lines and samples of steps that the run will repeat, and an incomplete line."""
        if self._metrics_path.exists():
            text = self._metrics_path.read_text(encoding="utf-8")
            kept = [line for line in text.splitlines() if _stays(line, step, evaluated_step)]
            with atomic_write(self._metrics_path) as file:
                file.writelines(line + "\n" for line in kept)
        for path in self._samples_dir.glob("*-*.jsonl"):
            if int(path.stem.split("-")[1]) > evaluated_step:
                path.unlink()


def _board(directory: Path, first_step: int) -> "SummaryWriter | None":
    """A writer of TensorBoard's events; None if the package is missing or does not load."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory), purge_step=first_step)


def _stays(line: str, step: int, evaluated_step: int) -> bool:
    try:
        record = json.loads(line)
    except ValueError:  # the run was killed while it wrote
        return False
    if record["kind"] == "averaged":  # the end of the run makes it again
        return False
    last = evaluated_step if record["kind"] == "dev" else step
    return bool(record["step"] <= last)
