"""A training run on the terminal: a live line for people, plain lines for logs."""

import math
from collections import deque
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ds2.training.config import TrainingConfig

RECENT_S = 60.0
"""The speed is a mean over at least this time..."""
RECENT_STEPS = 20
"""... and at least this many steps."""


class Speed:
    """The recent speed of training, and the time that the rest will take."""

    def __init__(self, total_audio_s: float) -> None:
        """total_audio_s: audio of the whole run, repetitions counted."""
        self._total_audio_s = total_audio_s
        self._steps: deque[tuple[float, float]] = deque()
        self._audio_s = 0.0
        self._elapsed_s = 0.0
        self.num_steps = 0

    def add(self, audio_s: float, elapsed_s: float) -> None:
        """Add a step: the seconds of its audio, and the seconds that it took."""
        self.num_steps += 1
        self._steps.append((audio_s, elapsed_s))
        self._audio_s += audio_s
        self._elapsed_s += elapsed_s
        while len(self._steps) > RECENT_STEPS and self._elapsed_s - self._steps[0][1] > RECENT_S:
            audio_s, elapsed_s = self._steps.popleft()
            self._audio_s -= audio_s
            self._elapsed_s -= elapsed_s

    @property
    def hours_per_hour(self) -> float:
        """Hours of audio per hour, without evaluations."""
        return self._audio_s / self._elapsed_s if self._elapsed_s else 0.0

    def remaining_s(self, done_audio_s: float) -> float:
        """Seconds that the rest of the run will take; nan before the first step."""
        if not self._audio_s:
            return math.nan
        return max(0.0, self._total_audio_s - done_audio_s) * self._elapsed_s / self._audio_s


def clock(seconds: float) -> str:
    """A time such as "2:05:00"; "?" for nan."""
    if math.isnan(seconds):
        return "?"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


class Display:
    """Shows a run on standard error. All processes but the first are `quiet`."""

    def __init__(self, training: TrainingConfig, *, quiet: bool = False) -> None:
        self._length = f"/{training.epochs}" if training.hours is None else ""
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._live.add_task("loading", total=None, facts="")

    def __enter__(self) -> "Display":
        if self._console.is_terminal:  # without it, some versions of rich print a line at the end
            self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def step(self, epoch: int, batch: int, num_batches: int, facts: str, *, log: bool) -> None:
        """Show where the run stands. Without a live display, print a line if `log` is true."""
        name = f"epoch {epoch + 1}{self._length}"
        if self._console.is_terminal:
            self._live.update(
                self._task, description=name, completed=batch, total=num_batches, facts=facts
            )
        elif log:
            self.say(f"{name}, {batch}/{num_batches}: {facts}")

    def decoding(self, done: int, count: int) -> None:
        """Show the number of recordings that are decoded, before the first step."""
        self._live.update(self._task, description="decoding", completed=done, total=count, facts="")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a warning that stays."""
        self._console.print(f"warning: {text}", style="yellow", markup=False)
