"""Speech to text: a bundle, recordings or live audio in, transcripts out."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ds2.acoustic import AcousticModel
from ds2.alphabet import Alphabet
from ds2.audio import Source, Waveform, audio_blocks
from ds2.bundle import Bundle, find_bundle, load_bundle
from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.hypothesis import Decoder, Hypothesis
from ds2.ctc.phrases import HotPhrase
from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.manifest import Utterance
from ds2.streams import Stream, WholeStream, advance
from ds2.transcript import Transcript

__all__ = ["Recognizer", "Stream", "WholeStream"]

CHUNK_S = 0.2
"""Audio that a live stream gathers before the model moves: more is cheaper, less is sooner."""
BATCH_CHUNK_S = 2.0
"""Audio of each recording in one step of a batch."""
STOP_S = 10.0
"""Workers that are told to stop and have not after this, say on a pipe that is silent, are left."""

Recording = Source | Utterance | Waveform
"""What can be transcribed: a path, bytes, an open file; part of a file; (N,) samples at 16 kHz."""


class Recognizer:
    """A model ready to transcribe. May be used from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        num_threads: int = 1,
        *,
        greedy: bool = False,
        lm: str | Path | bool = True,
        settings: BeamSettings | None = None,
        phrases: Sequence[HotPhrase] = (),
        num_alternatives: int = 0,
    ) -> None:
        """A recogniser of one bundle. It decodes greedily if nothing below asks for more.

        num_threads: processor cores for one step of the model; 0 takes all.
        greedy: take the likeliest labels, though the bundle has a language model.
        lm: a language model's file; True is the bundle's, if it has one; False is none.
        settings: of the beam search; None is the bundle's.
        phrases: what is to be heard more readily.
        num_alternatives: other readings that transcripts are to hold.

        Raises InputError.
        """
        self.bundle = bundle
        self.num_alternatives = num_alternatives
        self._model = AcousticModel(bundle, num_threads)
        self._new_decoder: Callable[[], Decoder] = GreedyDecoder
        lm_path = (bundle.lm_path if lm else None) if isinstance(lm, bool) else Path(lm)
        if not greedy and (lm_path or settings or phrases or num_alternatives):
            settings = settings or bundle.decoding or BeamSettings()
            self._new_decoder = _beam_search(bundle.alphabet, settings, lm_path, phrases)

    @classmethod
    def load(cls, bundle: str | Path, **options: Any) -> "Recognizer":
        """The recogniser of a bundle, by its directory or, for shipped ones, its name ("en").

        options: as above. Raises InputError.
        """
        return cls(load_bundle(find_bundle(bundle)), **options)

    def stream(self, *, chunk_s: float = CHUNK_S) -> "Stream | WholeStream":
        """A new stream of audio: `feed` it, ask it for its `transcript`, `finish` it."""
        return self._stream(self._new_decoder(), chunk_s)

    def _stream(self, decoder: Decoder, chunk_s: float) -> "Stream | WholeStream":
        if self.bundle.model.streaming:
            return Stream(self._model, decoder, chunk_s, self.num_alternatives)
        return WholeStream(self._model, decoder, self.num_alternatives)

    def transcribe(self, recording: Recording) -> Transcript:
        """The transcript of one recording, in bounded memory however long it is.

        Raises InputError if it cannot be read.
        """
        stream = self.stream(chunk_s=BATCH_CHUNK_S)
        for block in _blocks(recording):
            stream.feed(block)
        return stream.finish()

    def log_probs(self, waveform: Waveform) -> NDArray[np.float32]:
        """(T', V) natural logarithms of the labels' probabilities; all of them, so for short audio.

        waveform: (N,) float32 at 16 kHz.
        """
        collected = _Collector()
        stream = self._stream(collected, BATCH_CHUNK_S)
        stream.feed(waveform)
        stream.close()
        return np.concatenate(
            [np.empty((0, len(self.bundle.alphabet)), np.float32), *collected.pieces]
        )

    def transcribe_many(
        self, recordings: Sequence[Recording], *, batch_size: int = 8, jobs: int = 1
    ) -> Iterator[tuple[int, Transcript | InputError]]:
        """Transcripts as they become ready, each with its recording's index.

        batch_size: recordings that go through a streaming model side by side (one of whole
        utterances takes them one by one); jobs: such batches at once, a processor core each.
        A recording that cannot be read gives its error; the others are done all the same.
        """
        todo = _SharedIterator(enumerate(recordings))
        if jobs == 1:
            yield from self._transcribe_share(todo, batch_size)
            return
        batch_size = min(batch_size, -(-len(recordings) // jobs))  # leave every core a share
        done: queue.Queue[_Message] = queue.Queue()
        stopped = threading.Event()

        def work() -> None:
            try:
                for result in self._transcribe_share(todo, batch_size, stopped.is_set):
                    done.put(result)
                done.put(None)
            except BaseException as error:  # told where the results are read
                done.put(error)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        try:
            yield from _results(done, jobs)
        finally:  # on an error, too, and when the caller wants no more
            stopped.set()
            for worker in workers:  # one that is killed inside the model aborts the process
                worker.join(STOP_S)

    def _transcribe_share(
        self,
        todo: Iterable[tuple[int, Recording]],
        batch_size: int,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[int, Transcript | InputError]]:
        if not self.bundle.model.streaming:
            for index, recording in todo:
                if is_stopped():
                    return
                try:
                    yield index, self.transcribe(recording)
                except InputError as error:
                    yield index, error
            return
        waiting = iter(todo)
        lanes: list[_Lane] = []
        while not is_stopped():
            while len(lanes) < batch_size and (item := next(waiting, None)) is not None:
                decoder, num_alternatives = self._new_decoder(), self.num_alternatives
                stream = Stream(self._model, decoder, BATCH_CHUNK_S, num_alternatives)
                lanes.append(_Lane(item[0], item[1], stream))
            if not lanes:
                return
            for lane in lanes:
                lane.read()
            advance([lane.stream for lane in lanes if lane.error is None])
            for lane in lanes:
                if lane.error is not None:
                    yield lane.index, lane.error
                elif lane.stream.is_done:
                    yield lane.index, lane.stream.finish()
            lanes = [lane for lane in lanes if lane.error is None and not lane.stream.is_done]


def _beam_search(
    alphabet: Alphabet, settings: BeamSettings, lm: Path | None, phrases: Sequence[HotPhrase]
) -> Callable[[], Decoder]:
    """What makes decoders. Who decodes greedily need not wait for numba."""
    from ds2.ctc.beam_search import BeamSearch
    from ds2.ngram.model import NgramModel

    model = NgramModel.load(lm) if lm else None
    return BeamSearch(alphabet, settings, model, phrases).decoder


class _Lane:
    """A recording on its way through a batch: read as far as the next step needs."""

    def __init__(self, index: int, recording: Recording, stream: Stream) -> None:
        self.index = index
        self.stream = stream
        self.error: InputError | None = None
        self._blocks = _blocks(recording)

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


class _SharedIterator:
    """An iterator that several threads take from."""

    def __init__(self, items: Iterable[tuple[int, Recording]]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __iter__(self) -> "_SharedIterator":
        return self

    def __next__(self) -> tuple[int, Recording]:
        with self._lock:
            return next(self._items)


class _Collector:
    """In a decoder's place: keeps the log_probs and decodes nothing."""

    def __init__(self) -> None:
        self.pieces: list[NDArray[np.float32]] = []

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Keep (T, V) more frames."""
        self.pieces.append(log_probs)

    def best(self, n: int = 1, *, is_final: bool = True) -> list[Hypothesis]:
        """None."""
        del n, is_final
        return []


_Message = tuple[int, Transcript | InputError] | BaseException | None
"""From a worker: a result, the error that ended it, or None: it is done."""


def _results(
    done: "queue.Queue[_Message]", num_workers: int
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


def _blocks(recording: Recording) -> Iterator[Waveform]:
    if isinstance(recording, np.ndarray):
        return iter([recording])
    if isinstance(recording, Utterance):
        return audio_blocks(
            recording.audio_path, offset_s=recording.offset_s, duration_s=recording.duration_s
        )
    return audio_blocks(recording)
