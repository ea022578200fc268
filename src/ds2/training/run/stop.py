"""Signals that ask a run to stop. The run answers at once and stops between steps."""

import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ECHO_S = 2.0
"""Within this time torchrun sends its processes a signal again that they already have."""


class StopRequest:
    """Whether the user or the system has asked the run to stop (Ctrl-C, SIGTERM)."""

    def __init__(self, *, speaks: bool = True, expects_echo: bool = False) -> None:
        """speaks: whether to answer on standard error; true for the first of several processes.

        expects_echo: whether each signal may come twice.
        """
        self.signal: int | None = None
        self._speaks = speaks
        self._echo_s = ECHO_S if expects_echo else 0.0
        self._asked_at = 0.0

    def __call__(self) -> bool:
        return self.signal is not None

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Note the first signal. A second Ctrl-C ends the program at once."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._note)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signal is None:
            self.signal, self._asked_at = number, now
            self._say("finishing this step, then saving; press Ctrl-C again to stop now")
        elif number == signal.SIGINT and now - self._asked_at >= self._echo_s:
            raise KeyboardInterrupt

    def _say(self, text: str) -> None:
        """Write a line past all buffers: the signal may have come while a buffer was in use."""
        if self._speaks:
            start = "\n" if sys.stderr.isatty() else ""
            with contextlib.suppress(OSError):  # the terminal may be gone
                os.write(2, f"{start}{text}\n".encode())


def command_to_go_on(run_dir: Path) -> str:
    """The command that resumes a run."""
    return f"ds2 train {shlex.quote(str(run_dir))}"


def command_to_export(run_dir: Path) -> str:
    """The command that makes a bundle of a run."""
    return f"ds2 export {shlex.quote(str(run_dir))} -o BUNDLE"
