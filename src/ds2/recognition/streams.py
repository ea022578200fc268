"""Audio on its way through a model: features, steps of the model, and recognised segments."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ds2.audio import SAMPLE_RATE_HZ, SampleIntake, Waveform
from ds2.errors import InputError
from ds2.model.acoustic import UNKNOWN_LENGTH, AcousticModel, gather_state, scatter_state
from ds2.model.features import Floats, finite_samples
from ds2.model.front_end import compute_features, feed_streams, stream_frames
from ds2.recognition.segments import Outputs, Segments
from ds2.recognition.voice import listen
from ds2.transcripts.events import Event
from ds2.transcripts.transcript import Transcript

WINDOW_S = 60.0
"""The most audio that a model of whole utterances takes at once: more would not fit in memory."""
OVERLAP_S = 6.0
"""Audio that neighbouring windows share. Each window's outputs count up to the middle of it."""


class Stream:
    """One stream of audio through a model that streams.

    `feed` it samples, ask for the `transcript` so far, and `finish` it. The pieces do not matter:
    the log-probabilities are those of the whole audio, up to rounding.
    """

    def __init__(
        self,
        model: AcousticModel,
        segments: Segments | Outputs,
        chunk_s: float,
        sample_rate: int | None = None,
    ) -> None:
        """chunk_s: seconds of audio for one step of the model.
        sample_rate: the rate of the samples that you feed, in Hz; None: 16000. Raises InputError.
        """
        self._intake = SampleIntake(sample_rate)
        facts, features = model.bundle.model, model.bundle.features
        self.model = model
        self.segments = segments
        self.state = model.initial_state(1)
        frames_per_chunk = chunk_s * features.sample_rate_hz / features.stride
        stride = facts.time_stride
        self.chunk_frames = max(1, round(frames_per_chunk / stride)) * stride
        self.length = UNKNOWN_LENGTH  # frames in all, known at the end
        self.front = stream_frames(features)
        self.unheard: list[Waveform] = []  # samples without frames so far
        self.pending: deque[Floats] = deque()  # frames that wait for the model
        self._num_pending = 0  # including the frames of the unheard samples
        self._num_frames = 0  # so far
        self._num_samples = 0
        self._next_output = -facts.delay
        self._num_told = 0  # outputs given to the segments; after a flush, ahead of the model

    def feed(self, samples: ArrayLike) -> list[Event]:
        """Take more samples, and move the model as far as possible. Returns the new events.

        samples: (N,) or (N, channels) floats in [-1, 1], int16, int32 or uint8. Raises InputError
            for other types.
        """
        _refuse_after_end(self.length != UNKNOWN_LENGTH)
        self._move(self._intake.feed(samples))
        return self.take_events()

    def _move(self, waveform: Waveform) -> None:
        step = self.chunk_frames * self.model.bundle.features.stride
        for start in range(0, len(waveform), step):  # so an hour at once needs no more memory
            self.hear(waveform[start : start + step])
            while self.is_ready and not self.is_done:
                advance([self])

    def flush(self) -> list[Event]:
        """End the current segment with all the audio so far, and go on. Returns the new events.

        The model does not wait for the audio after this moment. It guesses the last outputs, as at
        the end of a recording.
        """
        _refuse_after_end(self.length != UNKNOWN_LENGTH)
        num_outputs = self.model.bundle.model.num_outputs(self._num_frames)
        log_probs = np.empty((0, len(self.model.bundle.alphabet)), np.float32)
        if num_outputs > self._num_told:
            num_frames = (num_outputs - self._next_output) * self.model.bundle.model.time_stride
            compute_frames([self])
            frames = np.zeros((1, num_frames, self.model.bundle.features.num_bins), np.float32)
            waiting = np.concatenate([frames[0, :0], *self.pending])[:num_frames]
            frames[0, : len(waiting)] = waiting
            lengths = np.array([self._num_frames], np.int64)
            outputs, _ = self.model.step(frames, self.state, lengths)
            log_probs = outputs[0][self._num_told - self._next_output :]
            self._num_told = num_outputs
        self.segments.flush(log_probs, self._num_samples / SAMPLE_RATE_HZ)
        return self.take_events()

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self.segments.events = self.segments.events, []
        return events

    def finish(self) -> Transcript:
        """The transcript, at the end of the audio."""
        self.close()
        return self.transcript()

    def close(self) -> None:
        """End the audio, and move the model to its end."""
        if self.length == UNKNOWN_LENGTH:
            self._move(self._intake.finish())
        self.end()
        while not self.is_done:
            advance([self])

    def transcript(self) -> Transcript:
        """The current segment. Its end may still change."""
        duration_s = self._num_samples / SAMPLE_RATE_HZ
        return self.segments.final or self.segments.transcript(duration_s, is_final=False)

    def hear(self, waveform: Waveform) -> None:
        """Take (N,) more samples without moving the model. `advance` moves it."""
        _refuse_after_end(self.length != UNKNOWN_LENGTH)
        if self.segments.voice is not None:
            self.segments.voice.feed(waveform)
        self.unheard.append(finite_samples(waveform).copy())  # the caller may use it again
        self._num_samples += len(waveform)
        num_frames = self.model.bundle.features.num_frames(self._num_samples)
        self._num_pending += num_frames - self._num_frames
        self._num_frames = num_frames

    def take_samples(self) -> Waveform:
        """The (N,) samples whose frames nobody has needed yet; `front` must be fed them."""
        unheard, self.unheard = self.unheard, []
        return unheard[0] if len(unheard) == 1 else np.concatenate(unheard)

    def end(self) -> None:
        """Note that no more audio will come."""
        if self.length == UNKNOWN_LENGTH:
            self.length = self._num_frames  # the front end is causal: it holds nothing back
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self.is_done:
            self.segments.end(self._num_samples / SAMPLE_RATE_HZ)

    @property
    def num_pending(self) -> int:
        """Frames that wait for the model."""
        return self._num_pending

    @property
    def is_ready(self) -> bool:
        """Whether there is a chunk for the next step."""
        return self._num_pending >= self.chunk_frames or self.length != UNKNOWN_LENGTH

    @property
    def is_done(self) -> bool:
        """Whether the audio has ended and all outputs are decoded."""
        return self._next_output >= self.model.bundle.model.num_outputs(self.length)

    @property
    def num_frames_left(self) -> int:
        """Frames until the last output, if the audio has ended; otherwise a chunk."""
        if self.length == UNKNOWN_LENGTH:
            return self.chunk_frames
        facts = self.model.bundle.model
        return (facts.num_outputs(self.length) - self._next_output) * facts.time_stride

    def take_frames(self, place: Floats) -> None:
        """Fill (T, F) with the next frames, and with zeros after the end."""
        done = 0
        while self.pending and done < len(place):
            frames = self.pending.popleft()
            count = min(len(frames), len(place) - done)
            place[done : done + count] = frames[:count]
            if count < len(frames):
                self.pending.appendleft(frames[count:])
            done += count
        place[done:] = 0
        self._num_pending -= done

    def take_outputs(self, log_probs: NDArray[np.float32]) -> None:
        """Decode a step's (T', V) outputs, without those before or after the audio."""
        last = self.model.bundle.model.num_outputs(self.length)
        first_index = min(len(log_probs), self._num_told - self._next_output)
        last_index = max(first_index, min(len(log_probs), last - self._next_output))
        self.segments.take(log_probs[first_index:last_index])
        self._num_told += last_index - first_index
        self._next_output += len(log_probs)
        self._end_if_done()


def advance(streams: Sequence[Stream]) -> None:
    """Move streams of one model by one step, side by side in a batch.

    The step is as long as the longest chunk that any stream still needs.
    """
    if not streams:
        return
    num_frames = max(min(stream.chunk_frames, stream.num_frames_left) for stream in streams)
    for stream, row in zip(streams, step_network(streams, num_frames), strict=True):
        stream.take_outputs(row)


def compute_frames(streams: Sequence[Stream]) -> None:
    """Compute the frames of all samples that streams of one model have not read yet."""
    waiting = [stream for stream in streams if stream.unheard]
    fronts = [stream.front for stream in waiting]
    samples = [stream.take_samples() for stream in waiting]
    for stream, frames in zip(waiting, feed_streams(fronts, samples), strict=True):
        stream.pending.append(frames)


def step_network(streams: Sequence[Stream], num_frames: int) -> Floats:
    """Move the network of each stream by `num_frames`. Returns (B, T', V) log_probs to decode."""
    listen([voice for stream in streams if (voice := stream.segments.voice)])
    compute_frames(streams)
    model = streams[0].model
    frames = np.empty((len(streams), num_frames, model.bundle.features.num_bins), np.float32)
    for stream, place in zip(streams, frames, strict=True):
        stream.take_frames(place)
    lengths = np.array([stream.length for stream in streams], np.int64)
    if len(streams) == 1:
        log_probs, streams[0].state = model.step(frames, streams[0].state, lengths)
        return log_probs
    states = [stream.state for stream in streams]
    log_probs, state = model.step(frames, gather_state(states), lengths)
    scatter_state(state, states)
    return log_probs


class WholeStream:
    """The methods of `Stream` for a model of whole utterances. It waits for the end.

    It cuts audio longer than a minute into overlapping windows, in bounded memory.
    """

    def __init__(
        self,
        model: AcousticModel,
        segments: Segments | Outputs,
        sample_rate: int | None = None,
    ) -> None:
        """sample_rate: the rate of the samples that you feed, in Hz; None: 16000.

        Raises InputError.
        """
        self._intake = SampleIntake(sample_rate)
        self.model = model
        self.segments = segments
        stride = round(model.bundle.output_stride_s * SAMPLE_RATE_HZ)
        self._stride = stride  # samples per output
        self._window = round(WINDOW_S * SAMPLE_RATE_HZ / stride) * stride
        self._overlap = round(OVERLAP_S * SAMPLE_RATE_HZ / stride / 2) * 2 * stride
        self._pending: list[Waveform] = []
        self._num_pending = 0
        self._num_samples = 0
        self._has_ended = False
        self._num_believed = 0  # outputs that the window before has given

    def feed(self, samples: ArrayLike) -> list[Event]:
        """Take more samples, as `Stream.feed` does. There are no events before the end."""
        _refuse_after_end(self._has_ended)
        self._take(self._intake.feed(samples))
        return []

    def _take(self, waveform: Waveform) -> None:
        self._num_samples += len(waveform)
        for start in range(0, len(waveform), self._window):
            piece = waveform[start : start + self._window]
            self._pending.append(piece.copy())  # the caller may use its buffer again
            self._num_pending += len(piece)
            while self._num_pending > self._window + self._overlap:
                self._take_window()

    def flush(self) -> list[Event]:
        """Raises InputError: the model cannot end a segment before the stream ends."""
        raise InputError(
            f"{self.model.bundle.path}: the model needs whole utterances, so a segment cannot end "
            "before the stream ends"
        )

    def take_events(self) -> list[Event]:
        """The events since the last call. They all come at the end."""
        events, self.segments.events = self.segments.events, []
        return events

    def _take_window(self) -> None:
        """Run the model on the oldest window, and keep the audio that the next window shares."""
        pending = np.concatenate(self._pending)
        log_probs = self._log_probs(pending[: self._window])
        half = self._overlap // 2 // self._stride
        last = self._window // self._stride - half
        self.segments.take(log_probs[self._num_believed : last])
        self._pending = [pending[self._window - self._overlap :]]
        self._num_pending = len(self._pending[0])
        self._num_believed = half

    def finish(self) -> Transcript:
        """The transcript, at the end of the audio."""
        self.close()
        return self.transcript()

    def close(self) -> None:
        """End the audio, and run the model."""
        if not self._has_ended:
            self._take(self._intake.finish())
            self._has_ended = True
            rest = np.concatenate([np.empty(0, np.float32), *self._pending])
            self.segments.take(self._log_probs(rest)[self._num_believed :])
            self.segments.end(self._num_samples / SAMPLE_RATE_HZ)
            self._pending = []

    def transcript(self) -> Transcript:
        """The transcript so far."""
        duration_s = self._num_samples / SAMPLE_RATE_HZ
        return self.segments.final or self.segments.transcript(duration_s, is_final=False)

    def _log_probs(self, waveform: Waveform) -> NDArray[np.float32]:
        features = compute_features(waveform, self.model.bundle.features)
        if not len(features):
            return np.empty((0, len(self.model.bundle.alphabet)), np.float32)
        lengths = np.array([len(features)], np.int64)
        num_outputs = self.model.bundle.model.num_outputs(len(features))
        return np.asarray(self.model.whole(features[np.newaxis], lengths)[0, :num_outputs])


def _refuse_after_end(has_ended: bool) -> None:
    if has_ended:
        raise ValueError("this stream has been finished: a new recording needs a new stream")
