"""Speech to text: from a bundle and recordings or live audio to transcripts."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ds2.audio import SAMPLE_RATE_HZ, Channels, Waveform
from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.hypothesis import Decoder
from ds2.ctc.phrases import Phrase
from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import Bundle, find_bundle, load_bundle
from ds2.model.computing import Arithmetic, Device
from ds2.recognition.endpoint import EndpointRules
from ds2.recognition.lanes import Lane, Message, SharedIterator, results_in
from ds2.recognition.recordings import Recording, columns_of, recording_blocks
from ds2.recognition.segments import Outputs, Segments
from ds2.recognition.streams import Stream, WholeStream, advance
from ds2.recognition.telling import OnSegment, SegmentTeller
from ds2.recognition.voice import VoiceDetector
from ds2.text.alphabet import Alphabet
from ds2.transcripts.channels import merged
from ds2.transcripts.transcript import Transcript

if TYPE_CHECKING:
    from ds2.ctc.beam_search import BeamSearch

__all__ = ["Recognizer", "Stream", "WholeStream"]

CHUNK_S = 0.2
"""Seconds of audio for one step of a live stream: more is cheaper, less gives text sooner."""
BATCH_CHUNK_S = 2.0
"""Seconds of audio of each recording in one step of a batch."""
STOP_S = 10.0
"""Time for workers to stop. After it the caller leaves a worker that hangs on a silent pipe."""


class Recognizer:
    """A model ready to transcribe. May be used from several threads at once."""

    def __init__(
        self,
        bundle: Bundle | str | Path,
        num_threads: int = 1,
        *,
        greedy: bool = False,
        lm: str | Path | bool = True,
        settings: BeamSettings | None = None,
        phrases: Sequence[Phrase] = (),
        num_alternatives: int = 0,
        arithmetic: Arithmetic = "auto",
        device: Device = "auto",
    ) -> None:
        """A recogniser of one bundle. It decodes greedily if no option asks for a search.

        bundle: a loaded bundle, or what `load` takes. The options are those of `load`.

        Raises InputError.
        """
        if not isinstance(bundle, Bundle):
            bundle = load_bundle(find_bundle(bundle))
        self.bundle = bundle
        self.num_alternatives = num_alternatives
        self._model = AcousticModel(bundle, num_threads, arithmetic=arithmetic, device=device)
        self._settings = settings or bundle.decoding
        self._search: BeamSearch | None = None  # None decodes greedily
        lm_path = (bundle.lm_path if lm else None) if isinstance(lm, bool) else Path(lm)
        if not greedy and (lm_path or settings or phrases or num_alternatives):
            self._search = _beam_search(bundle.alphabet, self._settings, lm_path, phrases)

    @property
    def searches(self) -> bool:
        """Whether it uses the beam search, with or without a language model, or is greedy."""
        return self._search is not None

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        num_threads: int = 1,
        *,
        greedy: bool = False,
        lm: str | Path | bool = True,
        settings: BeamSettings | None = None,
        phrases: Sequence[Phrase] = (),
        num_alternatives: int = 0,
        arithmetic: Arithmetic = "auto",
        device: Device = "auto",
    ) -> "Recognizer":
        """The recogniser of a bundle, by its directory or, for a shipped bundle, its name ("en").

        num_threads: processor cores for one step of the model; 0: all.
        greedy: take the likeliest labels, even if the bundle has a language model.
        lm: a language model's file; True: the bundle's, if it has one; False: none.
        settings: settings of the beam search; None: the bundle's.
        phrases: hot phrases, which the search prefers: "morning", or ("New York", 8.0) with a
            weight (default: 5); `HotPhrase` explains the weight.
        num_alternatives: number of other hypotheses in each transcript.
        arithmetic: of the network's large products: "float", "int8", or "auto" for the faster one
            on this processor that is no less exact.
        device: "cpu", "cuda", or "auto" for a graphics card if onnxruntime can use one.

        Raises InputError.
        """
        return cls(
            load_bundle(find_bundle(bundle)),
            num_threads,
            greedy=greedy,
            lm=lm,
            settings=settings,
            phrases=phrases,
            num_alternatives=num_alternatives,
            arithmetic=arithmetic,
            device=device,
        )

    @property
    def computing(self) -> str:
        """The arithmetic and the device of the network, for people."""
        chosen = self._model.arithmetic
        return f"{chosen.name} ({chosen.reason}), on {self._model.place}"

    def stream(
        self,
        *,
        chunk_s: float = CHUNK_S,
        endpoints: EndpointRules | None = None,
        voice: VoiceDetector | None = None,
        phrases: Sequence[Phrase] = (),
        num_alternatives: int | None = None,
        sample_rate: int | None = None,
    ) -> "Stream | WholeStream":
        """A new stream of audio. `feed` it samples, read the events it returns, and `finish` it.

        chunk_s: seconds of audio for one step of the model.
        endpoints: the rules that end segments; None: the stream is one segment.
        voice: a voice detector for the endpoints; None: only the model's text ends segments.
        phrases: hot phrases for this stream, in addition to the recogniser's own.
        sample_rate: the rate of the samples that you feed, in Hz; None: 16000.

        Raises InputError if the alphabet cannot spell a phrase, or for endpoints if the model
        needs whole utterances.
        """
        if endpoints and not self.bundle.model.streaming:
            raise InputError(f"{self.bundle.path}: needs whole utterances and finds no endpoints")
        segments = Segments(
            self.bundle,
            self._decoders(phrases, num_alternatives),
            rules=endpoints,
            voice=voice.stream(endpoints.voice_threshold) if voice and endpoints else None,
            num_alternatives=self._num_alternatives(num_alternatives),
        )
        return self._stream(segments, chunk_s, sample_rate)

    def _stream(
        self, segments: Segments | Outputs, chunk_s: float, sample_rate: int | None = None
    ) -> "Stream | WholeStream":
        if self.bundle.model.streaming:
            return Stream(self._model, segments, chunk_s, sample_rate)
        return WholeStream(self._model, segments, sample_rate)

    def warm_up(self, chunk_s: float = CHUNK_S) -> None:
        """Do the work of the first use (compiling, memory) before anybody waits for it."""
        noise = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE_HZ) * 0.05
        for num_alternatives in (None, 1):  # the second searches, even where the first does not
            stream = self.stream(chunk_s=chunk_s, num_alternatives=num_alternatives)
            stream.feed(noise.astype(np.float32))
            stream.finish()
        search = self._search or _beam_search(self.bundle.alphabet, self._settings, None, ())
        search.decoder().warm_up()

    def _silent_segments(self) -> Segments:
        """Segments without events, for a recording whose whole transcript counts."""
        count = self.num_alternatives
        return Segments(self.bundle, self._decoders(), num_alternatives=count, is_silent=True)

    def _num_alternatives(self, given: int | None) -> int:
        return self.num_alternatives if given is None else given

    def _decoders(
        self, phrases: Sequence[Phrase] = (), num_alternatives: int | None = None
    ) -> Callable[[], Decoder]:
        """A function that makes a decoder for each segment of a stream."""
        count = self._num_alternatives(num_alternatives)
        search = self._search
        if search is None and (phrases or count):
            search = _beam_search(self.bundle.alphabet, self._settings, None, phrases)
        elif search is not None and phrases:
            search = search.with_phrases(phrases)
        return partial(search.decoder, num_hypotheses=1 + count) if search else GreedyDecoder

    def transcribe(
        self,
        recording: Recording,
        *,
        sample_rate: int | None = None,
        track: int | str | None = None,
        channels: Channels = "mix",
        on_segment: OnSegment | None = None,
    ) -> Transcript:
        """The transcript of one recording of any length, in bounded memory.

        recording: a path, a file's bytes, an open file, an `Utterance`; or samples in memory, (N,)
            or (N, channels): floats in [-1, 1], int16, int32 or uint8.
        sample_rate: the rate of samples in memory, in Hz; None: 16000. A file holds its own rate.
        track: for a film with several sound tracks, the track's number, from 1, or its language
            ("en", "eng"); None: the film's default track. Times are the film's.
        channels: "mix": the mean of all channels; a number from 1: that channel; "split": each
            channel by itself, as in a call with one speaker on each. After "split",
            `Transcript.channels` holds a transcript of each channel. The segments are in the order
            of time and name their channel.
        on_segment: a function that gets each segment as soon as no more audio changes it; with
            split channels, at the end.

        Raises InputError if ds2 cannot read the recording.
        """
        if channels == "split":
            blocks = recording_blocks(recording, sample_rate, BATCH_CHUNK_S, track, channels)
            transcript = self.transcribe_channels(blocks)
            if on_segment is not None:
                for segment in transcript.segments():
                    on_segment(segment)
            return transcript
        segments = self._silent_segments()
        stream = self._stream(segments, BATCH_CHUNK_S)
        if on_segment is None:
            for block in recording_blocks(recording, sample_rate, track=track, channels=channels):
                stream.feed(block)
            return stream.finish()
        teller, num_samples = SegmentTeller(segments, on_segment), 0
        for block in recording_blocks(recording, sample_rate, BATCH_CHUNK_S, track, channels):
            stream.feed(block)
            num_samples += len(block)
            teller.look(num_samples / SAMPLE_RATE_HZ)
        transcript = stream.finish()
        teller.finish(transcript)
        return transcript

    def transcribe_channels(self, blocks: Iterable[Waveform]) -> Transcript:
        """The transcript of all channels. Each channel is recognised by itself.

        blocks: (N, C) float32 at 16 kHz, as `ds2.audio.audio_blocks` gives them. Raises InputError.
        """
        streams: list[Stream | WholeStream] = []
        for block in blocks:
            columns = columns_of(block)
            streams = streams or [
                self._stream(self._silent_segments(), BATCH_CHUNK_S) for _ in columns
            ]
            for stream, column in zip(streams, columns, strict=True):
                stream.feed(column)
        return merged([stream.finish() for stream in streams])

    def log_probs(
        self, waveform: ArrayLike, *, sample_rate: int | None = None
    ) -> NDArray[np.float32]:
        """(T', V) natural logarithms of the labels' probabilities. Memory grows with the audio.

        waveform: samples, as `transcribe` takes them. Raises InputError.
        """
        pieces = [np.empty((0, len(self.bundle.alphabet)), np.float32)]
        stream = self._stream(Outputs(pieces.append), BATCH_CHUNK_S, sample_rate)
        stream.feed(waveform)
        stream.close()
        return np.concatenate(pieces)

    def transcribe_many(
        self,
        recordings: Sequence[Recording],
        *,
        batch_size: int = 8,
        jobs: int = 1,
        sample_rate: int | None = None,
        track: int | str | None = None,
        channels: Channels = "mix",
    ) -> Iterator[tuple[int, Transcript | InputError]]:
        """Transcripts as they become ready, each with its recording's index.

        batch_size: recordings that go through a streaming model side by side (a model of whole
            utterances takes them one by one).
        jobs: batches at the same time; each uses one processor core.
        sample_rate: the rate of recordings that are samples in memory, in Hz.
        track, channels: as in `transcribe`.

        A recording that ds2 cannot read gives its error. The others still give transcripts.
        """
        todo = SharedIterator(enumerate(recordings))
        transcribe_share = partial(
            self._transcribe_share,
            todo,
            sample_rate=sample_rate,
            track=track,
            channels=channels,
        )
        if jobs == 1:
            yield from transcribe_share(batch_size)
            return
        batch_size = min(batch_size, -(-len(recordings) // jobs))  # so every core gets a share
        done: queue.Queue[Message] = queue.Queue()
        stopped = threading.Event()

        def work() -> None:
            try:
                for result in transcribe_share(batch_size, stopped.is_set):
                    done.put(result)
                done.put(None)
            except BaseException as error:  # raised again where the results are read
                done.put(error)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        try:
            yield from results_in(done, jobs)
        finally:  # also after an error, and when the caller stops early
            stopped.set()
            for worker in workers:  # a worker that dies inside the model aborts the process
                worker.join(STOP_S)

    def _transcribe_share(
        self,
        todo: Iterable[tuple[int, Recording]],
        batch_size: int,
        is_stopped: Callable[[], bool] = lambda: False,
        *,
        sample_rate: int | None,
        track: int | str | None,
        channels: Channels,
    ) -> Iterator[tuple[int, Transcript | InputError]]:
        if not self.bundle.model.streaming:
            for index, recording in todo:
                if is_stopped():
                    return
                try:
                    transcript = self.transcribe(
                        recording, sample_rate=sample_rate, track=track, channels=channels
                    )
                    yield index, transcript
                except InputError as error:
                    yield index, error
            return

        def new_stream() -> Stream:
            return Stream(self._model, self._silent_segments(), BATCH_CHUNK_S)

        waiting = iter(todo)
        lanes: list[Lane] = []
        while not is_stopped():
            while len(lanes) < batch_size and (item := next(waiting, None)) is not None:
                blocks = recording_blocks(item[1], sample_rate, track=track, channels=channels)
                lanes.append(Lane(item[0], blocks, new_stream, is_split=channels == "split"))
            if not lanes:
                return
            for lane in lanes:
                lane.read()
            advance([stream for lane in lanes if lane.error is None for stream in lane.streams])
            for lane in lanes:
                if lane.error is not None:
                    yield lane.index, lane.error
                elif lane.is_done:
                    yield lane.index, lane.finish()
            lanes = [lane for lane in lanes if lane.error is None and not lane.is_done]


def _beam_search(
    alphabet: Alphabet,
    settings: BeamSettings | None,
    lm: Path | None,
    phrases: Sequence[Phrase],
) -> "BeamSearch":
    """The beam search. It is imported here, so that greedy decoding need not load numba."""
    from ds2.ctc.beam_search import BeamSearch
    from ds2.ngram.model import NgramModel

    return BeamSearch(alphabet, settings, NgramModel.load(lm) if lm else None, phrases)
