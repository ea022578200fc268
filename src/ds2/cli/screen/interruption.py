"""Ctrl-C: it is acknowledged at once, though what runs may take a moment to end."""

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
    """Inside, the first Ctrl-C shows that it was heard and raises KeyboardInterrupt.

    Files under way are removed then, and threads may end what they do. A second Ctrl-C waits for
    nothing: the process ends at once. Gives what tells whether there was a first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread hears signals
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False  # the caller has a way of its own, or has Ctrl-C ignored
        return

    num_heard = 0

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal num_heard
        num_heard += 1
        if num_heard > 1:
            os._exit(130)
        with suppress(OSError):  # straight to the system: a print may be under way
            os.write(2, ACKNOWLEDGED if sys.stderr.isatty() else ACKNOWLEDGED.lstrip())
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: num_heard > 0
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
