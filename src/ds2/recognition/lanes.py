"""Several recordings at once. Each has a lane in a batch, and each batch has a thread."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from ds2.audio import Waveform
from ds2.errors import InputError
from ds2.recognition.recordings import Recording, columns_of
from ds2.recognition.streams import Stream
from ds2.transcripts.channels import merged
from ds2.transcripts.transcript import Transcript


class Lane:
    """A recording on its way through a batch. It is read as far as the next step needs.

    If the channels are split, each has a stream. All streams have received the same time of audio.
    """

    def __init__(
        self,
        index: int,
        blocks: Iterator[Waveform],
        new_stream: Callable[[], Stream],
        *,
        is_split: bool,
    ) -> None:
        """blocks: the recording's samples, (N,), or (N, C) if it is split."""
        self.index = index
        self.streams = [new_stream()]  # one per channel, from the first block on
        self._new_stream = new_stream
        self._is_split = is_split
        self.error: InputError | None = None
        self._blocks = blocks

    def read(self) -> None:
        """Read until the streams have a chunk, the recording ends, or reading fails."""
        while self.error is None and not self.streams[0].is_ready:
            try:
                block = next(self._blocks, None)
            except InputError as error:
                self.error = error
                return
            if block is None:
                for stream in self.streams:
                    stream.end()
                return
            columns = columns_of(block)
            while len(self.streams) < len(columns):
                self.streams.append(self._new_stream())
            for stream, column in zip(self.streams, columns, strict=True):
                stream.hear(column)

    @property
    def is_done(self) -> bool:
        """Whether the recording has ended and all outputs are decoded."""
        return all(stream.is_done for stream in self.streams)

    def finish(self) -> Transcript:
        """The transcript, at the end."""
        finished = [stream.finish() for stream in self.streams]
        return merged(finished) if self._is_split else finished[0]


class SharedIterator:
    """An iterator that several threads may use."""

    def __init__(self, items: Iterable[tuple[int, Recording]]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __iter__(self) -> "SharedIterator":
        return self

    def __next__(self) -> tuple[int, Recording]:
        with self._lock:
            return next(self._items)


Message: TypeAlias = tuple[int, Transcript | InputError] | BaseException | None
"""From a worker: a result, the error that ended the worker, or None at its end."""


def results_in(
    done: "queue.Queue[Message]", num_workers: int
) -> Iterator[tuple[int, Transcript | InputError]]:
    """The results that the workers put into the queue, until all are done. Raises their errors."""
    while num_workers:
        message = done.get()
        if isinstance(message, BaseException):
            raise message
        if message is None:
            num_workers -= 1
        else:
            yield message
