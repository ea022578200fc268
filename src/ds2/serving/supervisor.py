"""Runs several processes on one socket: starts them, replaces dead ones, and ends them.

Ctrl-C and service managers send a signal to the whole group, so it reaches every process. The
workers ignore it and wait for their parent, which sends orders through a pipe. The first order
means: end the streams. The second means: hurry. When the pipe ends, the parent is gone.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeAlias

from ds2.errors import InputError
from ds2.serving.engine.metrics import SHARED_DIRECTORY, forget_process
from ds2.serving.logs import log_to_stderr

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOK_S = 0.1
BAD_INPUT = 2  # an exit status: a new worker would fail as well

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How the supervisor deals with workers that die early."""

    shortest_life_s: float = 10.0  # after an earlier death, the next worker waits
    first_wait_s: float = 0.5  # every early death doubles it
    longest_wait_s: float = 30.0
    most_early_deaths: int = 6
    """After this many in a row, in one place, the server ends with an error."""


class Orders:
    """The parent's orders to a worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pass_on: Callable[[], object] | None = None
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def watch(self) -> asyncio.Event:
        """An event of the running loop. Each order to end sets it."""
        stopping = asyncio.Event()
        self._pass_on = partial(asyncio.get_running_loop().call_soon_threadsafe, stopping.set)
        return stopping

    def _listen(self) -> None:
        has_parent = True
        while has_parent:
            try:
                self._connection.recv_bytes()
            except (EOFError, OSError):
                has_parent = False
            if self._pass_on is None:
                os._exit(0)  # it is still loading: there are no streams to end
            with contextlib.suppress(RuntimeError):  # the loop is closed: the worker is ending
                self._pass_on()


Work: TypeAlias = Callable[[Orders], None]
"""The work of a worker until an order to end. It goes to another process."""


class _Place:
    """A place for one worker. When the worker dies, the place starts a new one."""

    def __init__(self, work: Work, shared: str, patience: Patience) -> None:
        """shared: the directory for the metrics of all processes."""
        self._work = work
        self._shared = shared
        self._patience = patience
        self._num_early = 0  # deaths in a row
        self._due_s = 0.0  # when the next worker may start
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._since_s = 0.0
        self._start()

    def _start(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        theirs, self._connection = spawning.Pipe(duplex=False)
        process = spawning.Process(target=_run_worker, args=(theirs, self._work))
        with _signals_held_back():
            process.start()
        theirs.close()
        self._process, self._since_s = process, time.monotonic()

    @property
    def exit_code(self) -> int | None:
        """The last worker's exit code; None while it runs or if there is no worker."""
        return self._process.exitcode if self._process else None

    @property
    def is_filled(self) -> bool:
        """Whether a worker runs."""
        return self._process is not None and self._process.exitcode is None

    def look(self) -> int | None:
        """Keep a worker running. Returns an exit status if a new worker would fail as well."""
        now_s = time.monotonic()
        if self.is_filled:
            return None
        if self._process is None:
            if now_s >= self._due_s:
                self._start()
            return None
        code = self._process.exitcode
        forget_process(self._shared, self._process.pid)
        if code == BAD_INPUT:
            return BAD_INPUT
        is_early = now_s - self._since_s < self._patience.shortest_life_s
        self._num_early = self._num_early + 1 if is_early else 0
        if self._num_early >= self._patience.most_early_deaths:
            logger.error("a worker died %d times right after its start", self._num_early)
            return 1
        wait_s = 0.0
        if is_early:
            doubled_s = self._patience.first_wait_s * 2 ** (self._num_early - 1)
            wait_s = min(self._patience.longest_wait_s, doubled_s)
        logger.error("a worker died (%s): a new one starts in %g s", code, wait_s)
        self._drop()
        self._due_s = now_s + wait_s
        return None

    def _drop(self) -> None:
        if self._process is not None:
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def tell_to_end(self) -> None:
        """Send an order. The first means: end the streams. The second means: hurry."""
        if self._connection is not None:
            with contextlib.suppress(OSError):  # the worker has ended
                self._connection.send_bytes(b"end")

    def kill(self) -> None:
        """End a worker that does not end by itself."""
        if self._process is not None and self.is_filled:
            logger.error("a worker did not end in time: killing it")
            self._process.kill()
        self._drop()


def supervise(
    work: Work, num_workers: int, longest_end_s: float, patience: Patience | None = None
) -> None:
    """Keep `num_workers` workers until a signal. Then wait `longest_end_s` for them to end.

    Exits with status 1 if the workers keep dying or do not end well, and with 2 if their input is
    bad.
    """
    signals: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: signals.append(number))
    with tempfile.TemporaryDirectory(prefix="ds2-metrics-") as shared:
        os.environ[SHARED_DIRECTORY] = shared  # the metrics of the workers read it
        places = [_Place(work, shared, patience or Patience()) for _ in range(num_workers)]
        status = _keep(places, signals)
        has_ended_well = _end(places, signals, time.monotonic() + longest_end_s)
    if status or not has_ended_well:
        sys.exit(status or 1)


def _keep(places: list[_Place], signals: list[int]) -> int:
    """Keep workers running. Returns 0 at a signal, or an exit status if new ones would fail."""
    while not signals:
        for place in places:
            if status := place.look():
                return status
        time.sleep(LOOK_S)
    return 0


def _end(places: list[_Place], signals: list[int], deadline_s: float) -> bool:
    """End all workers. Another signal hurries them. Returns whether they ended well."""
    num_told = -1
    while any(place.is_filled for place in places) and time.monotonic() < deadline_s:
        if len(signals) > num_told:
            num_told = max(1, len(signals))
            for place in places:
                place.tell_to_end()
        time.sleep(LOOK_S)
    codes = [place.exit_code for place in places]
    is_late = any(place.is_filled for place in places)
    for place in places:
        place.kill()
    return not is_late and all(code in (0, None) for code in codes)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold signals back in this process and in processes that start meanwhile.

    Otherwise a signal to the group could end a new process before it sets its own handlers.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # if this started later, it would let signals in
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_worker(connection: Connection, work: Work) -> None:
    for number in SIGNALS:
        # Not SIG_IGN: programs that the worker starts would inherit it.
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    log_to_stderr()
    try:
        work(Orders(connection))
    except InputError as error:
        logger.error("%s", error)
        sys.exit(BAD_INPUT)
