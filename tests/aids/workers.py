"""A supervisor whose workers die, refuse or live as they are told, and note what they hear.

    python tests/aids/workers.py NOTES HABITS

HABITS is JSON: `deaths`, how many workers die as soon as they begin; `refuses`, whether a worker
finds that its task cannot be done; `ends_after_s`, how long a worker takes to end; and settings of
`Patience`.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.serving.logs import log_to_stderr
from ds2.serving.supervisor import Orders, Patience, supervise


def note(notes: Path, told: str) -> None:
    """Add a line: the time, in seconds, and what happened."""
    with notes.open("a", encoding="ascii") as file:
        file.write(f"{time.monotonic()} {told}\n")


def work(notes: Path, habits: dict[str, Any], orders: Orders) -> None:
    """What a worker does."""
    note(notes, "begins")
    if len(notes.read_text(encoding="ascii").splitlines()) <= habits["deaths"]:
        os._exit(3)
    if habits["refuses"]:
        raise InputError("the model: cannot be read")
    asyncio.run(live(notes, habits["ends_after_s"], orders))


async def live(notes: Path, ends_after_s: float, orders: Orders) -> None:
    """Wait for the order to end; then end in time, or at once at a second order."""
    stopping = orders.watch()
    note(notes, "is ready")
    await stopping.wait()
    stopping.clear()
    note(notes, "is told to end")
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), ends_after_s)
        note(notes, "is told to hurry")


def main() -> None:
    """Supervise one worker."""
    _, notes, told = sys.argv
    habits = {"deaths": 0, "refuses": False, "ends_after_s": 0.5}
    given = json.loads(told)
    patience = Patience(**{name: given.pop(name) for name in tuple(given) if name not in habits})
    log_to_stderr()
    supervise(partial(work, Path(notes), habits | given), 1, 60.0, patience)


if __name__ == "__main__":
    main()
