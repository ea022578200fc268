"""The processes that load audio. They ignore signals, end with their parent, and fail clearly."""

import ctypes
import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from torch.utils.data import DataLoader

from ds2.errors import InputError

T = TypeVar("T")

PARENTS_OWN = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Signals on which only the parent may act.

Ctrl-C in a terminal, Slurm, systemd and `timeout` signal every process of a group at once. But the
parent still needs the minibatches of the step that it finishes.
"""
PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl: sets the signal that a process gets when its parent dies."""


class Loader(Generic[T]):
    """A DataLoader whose processes end only with their parent or at its order."""

    def __init__(self, loader: DataLoader[T]) -> None:
        loader.worker_init_fn = functools.partial(_begin_loading, os.getpid())
        self._loader = loader

    def __iter__(self) -> Iterator[T]:
        """Its minibatches. Raises InputError if a loading process fails."""
        with _clear_failures():
            with _signals_held():  # a new process ignores signals from its first moment
                batches = iter(self._loader)
            yield from batches


@contextmanager
def ended_processes() -> Iterator[None]:
    """End the loading processes that are left when the context ends, also after an error.

    An error keeps its iterators alive. At its exit Python would send SIGTERM to their processes,
    which ignore it, and would wait for ever.
    """
    before = set(multiprocessing.active_children())
    try:
        yield
    finally:
        left = set(multiprocessing.active_children()) - before
        if left:
            number = getattr(signal, "SIGCHLD", None)
            handler = number and signal.signal(number, signal.SIG_DFL)  # torch's raises an error
            for process in left:
                process.kill()
                process.join()
            if number:
                signal.signal(number, handler)


def _begin_loading(parent_pid: int, _worker: int) -> None:
    for number in PARENTS_OWN:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":  # elsewhere torch checks every few seconds for the parent
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # the parent died before this line
            os._exit(0)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back the parent's own signals. Processes that start meanwhile never get them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_OWN)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _clear_failures() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, OSError, EOFError) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise InputError(f"data.num_workers: {reason}") from None


def _reason(error: Exception) -> str | None:
    """The fault of a loading process, and what to do; None for any other error."""
    text = str(error)
    first_line = text.strip().splitlines()[0].rstrip(". ") if text.strip() else ""
    if any(sign in text for sign in ("shared memory", "Bus error", "/torch_")):
        return (
            "the shared memory, /dev/shm, is too small for the minibatches: enlarge it "
            "(docker run --shm-size=1g), or load audio in the training process: "
            "--set data.num_workers=0"
        )
    if "Too many open files" in text or "ancdata" in text:
        return "too many files are open: allow more (ulimit -n 4096), or use fewer processes"
    if "killed by signal" in text:
        return f"{first_line}: if memory ran out, use fewer processes: --set data.num_workers=1"
    if "DataLoader worker" in text:
        return f"{first_line}: load audio in the training process: --set data.num_workers=0"
    return None
