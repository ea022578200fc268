"""Ctrl-C: ds2 answers at once, although its work may take a moment to end."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ACKNOWLEDGED = b"\nds2: interrupted: stopping; press Ctrl-C again to stop at once\n"


@contextmanager
def acknowledging_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C prints a message and raises KeyboardInterrupt.

    ds2 then removes unfinished files, and threads may end their work. A second Ctrl-C ends the
    process at once. Gives a function that returns whether there was a first Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread gets signals
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False  # the caller handles or ignores Ctrl-C itself
        return

    num_heard = 0

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal num_heard
        num_heard += 1
        if num_heard > 1:
            os._exit(130)
        with suppress(OSError):  # not by print(), which may be running now
            os.write(2, ACKNOWLEDGED if sys.stderr.isatty() else ACKNOWLEDGED.lstrip())
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: num_heard > 0
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
