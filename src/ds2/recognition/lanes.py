"""Several recordings at once: each in a lane of a batch, batches in threads."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ds2.audio import Waveform
from ds2.errors import InputError
from ds2.recognition.recordings import Recording
from ds2.recognition.streams import Stream
from ds2.transcripts.transcript import Transcript


class Lane:
    """A recording on its way through a batch: read as far as the next step needs."""

    def __init__(self, index: int, blocks: Iterator[Waveform], stream: Stream) -> None:
        """blocks: of the recording."""
        self.index = index
        self.stream = stream
        self.error: InputError | None = None
        self._blocks = blocks

    def read(self) -> None:
        """Read until the stream has a chunk, or the recording has ended or cannot be read."""
        while self.error is None and not self.stream.is_ready:
            try:
                block = next(self._blocks, None)
            except InputError as error:
                self.error = error
                return
            if block is None:
                self.stream.end()
                return
            self.stream.hear(block)


class SharedIterator:
    """An iterator that several threads take from."""

    def __init__(self, items: Iterable[tuple[int, Recording]]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __iter__(self) -> "SharedIterator":
        return self

    def __next__(self) -> tuple[int, Recording]:
        with self._lock:
            return next(self._items)


Message: TypeAlias = tuple[int, Transcript | InputError] | BaseException | None
"""From a worker: a result, the error that ended it, or None: it is done."""


def results_in(
    done: "queue.Queue[Message]", num_workers: int
) -> Iterator[tuple[int, Transcript | InputError]]:
    """What the workers put in the queue, until all are done. Raises what one of them raised."""
    while num_workers:
        message = done.get()
        if isinstance(message, BaseException):
            raise message
        if message is None:
            num_workers -= 1
        else:
            yield message
