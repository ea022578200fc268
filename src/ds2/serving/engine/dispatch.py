"""Batch Dispatch (section 7 of the paper): the streams of all users share the model's steps.

The dispatcher is eager. A step takes all streams that have a chunk ready, up to the batch size. The
next step begins as soon as the last one is done. Nothing waits for a batch to fill. Under load,
streams gather by themselves while a step runs. A larger batch is cheaper for each of its streams.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.errors import InputError
from ds2.recognition.streams import Stream, WholeStream, step_network
from ds2.serving.engine.request_id import REQUEST_ID
from ds2.serving.engine.steps import frames_of_step, samples_needed
from ds2.transcripts.events import Event

UPLOAD_PATIENCE_S = 0.5
"""An upload that has waited for this time is as urgent as live speech, so it always moves."""
UPLOAD_SHARE = 4
"""While somebody speaks, a step takes at most the batch size divided by this number of uploads."""
MOST_LEAD_S = 2.0
"""A sender that is this far ahead of real time comes after live speech."""
SILENT_S = 2.0
"""A client that has sent nothing for this time does not speak, even if its stream is open. Uploads
do not yield to it."""
LONGEST_STEP_S = 2.0
"""The most audio of each stream in a step, if all streams have it: longer steps are cheaper."""
LONGEST_LIVE_STEP_S = 0.4
"""The same while somebody speaks: live audio waits for the step to end."""

NO_MORE_NEEDED = 2**62
"""What `Line.num_needed` is for a line that has a chunk: its turn comes without more samples."""

Item: TypeAlias = Waveform | Literal["flush", "finish"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Update:
    """What happened to a line. It is the line's last update if it has an error or is done."""

    line: "Line"
    events: list[Event]
    heard_s: float = 0.0  # audio that the network has taken
    is_done: bool = False
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What the dispatcher did in one turn: a step, unless the batch was empty."""

    updates: list[Update]
    batch_size: int = 0
    step_s: float = 0.0  # of the network
    decode_s: float = 0.0
    audio_s: float = 0.0  # the sum of the audio that the step took from each stream
    delays_s: list[float] = field(default_factory=list)  # from the arrival of a chunk to its step
    latencies_s: list[float] = field(default_factory=list)  # to its result; live streams only
    settled: list[tuple["Line", int]] = field(default_factory=list)  # see `Line.num_wanted`


class Line:
    """A stream's place in a dispatcher; made by `Dispatcher.add`.

    Audio and requests wait in the line, in their order, until the dispatcher's thread takes them.
    All methods return at once. Any thread may call them.
    """

    def __init__(
        self, dispatcher: "Dispatcher", stream: Stream | WholeStream, is_live: bool
    ) -> None:
        self.stream = stream
        self.is_live = is_live
        self.is_closed = False
        self.request_id = REQUEST_ID.get()  # of the client's request, for the log
        self.inbox: deque[Item] = deque()
        self.num_fed = 0  # samples
        self.num_heard = 0  # the part of them that the stream has taken
        self.num_needed = 0  # samples that are missing for a chunk
        self.ready_since_s: float | None = None  # time.monotonic() when that chunk arrived
        self.num_asked = 0  # requests put in; the thread counts those it has answered
        self.num_answered = 0
        self.num_put = 0  # items put into the inbox
        self.num_wanted = 0  # items up to the last one that gave the dispatcher work
        self.num_settled = 0  # items up to the last one whose work is done
        self._arrivals: deque[tuple[int, float]] = deque()  # (samples so far, when they came)
        self._has_finished = False  # the line takes nothing after it
        self._began_s = self._last_s = time.monotonic()  # when the last item came
        self._dispatcher = dispatcher

    @property
    def heard_s(self) -> float:
        """Audio that the network has taken."""
        num_samples = self.num_heard
        if isinstance(self.stream, Stream):
            num_samples -= self.stream.num_pending * self.stream.model.bundle.features.stride
        return num_samples / SAMPLE_RATE_HZ

    @property
    def waiting_s(self) -> float:
        """Audio that the network has not taken yet."""
        return self.num_fed / SAMPLE_RATE_HZ - self.heard_s

    @property
    def is_urgent(self) -> bool:
        """Whether somebody speaks right now, and no recording is being sent."""
        now_s = time.monotonic()
        lead_s = self.num_fed / SAMPLE_RATE_HZ - (now_s - self._began_s)
        return self.is_live and lead_s < MOST_LEAD_S and now_s - self._last_s < SILENT_S

    @property
    def is_worth_hearing(self) -> bool:
        """Whether the inbox has a chunk or a request."""
        enough = self.num_fed - self.num_heard >= self.num_needed
        return enough or self.num_asked > self.num_answered

    @property
    def has_work(self) -> bool:
        """Whether the dispatcher can do something for it."""
        stream = self.stream
        is_ready = isinstance(stream, Stream) and stream.is_ready and not stream.is_done
        return is_ready or self.is_worth_hearing

    def feed(self, waveform: Waveform) -> None:
        """Take (N,) more samples at 16 kHz. The caller must not change them afterwards."""
        self._dispatcher.put(self, waveform)

    def flush(self) -> None:
        """End the segment after what has been fed."""
        self._dispatcher.put(self, "flush")

    def finish(self) -> None:
        """No more audio will come."""
        self._dispatcher.put(self, "finish")

    def close(self) -> None:
        """Forget the stream, done or not."""
        self._dispatcher.remove(self)

    def take(self, item: Item) -> bool:
        """Put an item into the inbox. Returns whether the dispatcher has work now."""
        if self._has_finished:
            return False
        self.inbox.append(item)
        self.num_put += 1
        now_s = self._last_s = time.monotonic()
        if isinstance(item, str):
            self.num_asked += 1
            self._has_finished = item == "finish"
        else:
            self.num_fed += len(item)
            if self.is_live:
                self._arrivals.append((self.num_fed, now_s))
        if not self.is_worth_hearing:
            return False
        self.num_wanted = self.num_put
        if self.ready_since_s is None:
            self.ready_since_s = now_s
        return True

    def arrival_s(self, num_samples: int) -> float:
        """When sample number `num_samples` came. The line forgets the times before that."""
        while len(self._arrivals) > 1 and self._arrivals[0][0] < num_samples:
            self._arrivals.popleft()
        return self._arrivals[0][1] if self._arrivals else time.monotonic()


class Dispatcher:
    """A thread that moves all streams of one model."""

    def __init__(
        self,
        listener: Callable[[Report], None],
        *,
        batch_size: int = 32,
        decode_threads: int = 1,
    ) -> None:
        """listener: takes a report of each turn, in the dispatcher's thread; must not raise.

        batch_size: the most streams in a step. decode_threads: how many threads decode a step; if
        it is 1, the dispatcher's own thread decodes.
        """
        self._listener = listener
        self._batch_size = batch_size
        self._pool = ThreadPoolExecutor(decode_threads) if decode_threads > 1 else None
        self._changed = threading.Condition()  # guards the three attributes below
        self._lines: dict[Line, None] = {}  # all open lines, in the order of their opening
        self._touched: dict[Line, None] = {}  # lines with something to hear
        self._is_stopped = False
        self._ready: dict[Line, None] = {}  # lines with a chunk; only the thread uses it
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def add(self, stream: Stream | WholeStream, *, is_live: bool = True) -> Line:
        """Open a line for a stream. Live lines come before others."""
        line = Line(self, stream, is_live)
        with self._changed:
            self._lines[line] = None
        return line

    def put(self, line: Line, item: Item) -> None:
        """Put something into a line's inbox."""
        with self._changed:
            if line.is_closed:
                return
            if line.take(item):
                self._touched[line] = None
                self._changed.notify()

    def remove(self, line: Line) -> None:
        """Forget a line."""
        with self._changed:
            self._forget(line)

    def _forget(self, line: Line) -> None:
        line.is_closed = True
        self._lines.pop(line, None)
        self._touched.pop(line, None)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs. It runs until `stop`."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread once the step under way is done."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        self._thread.join()
        if self._pool:
            self._pool.shutdown()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._touched or self._ready or self._is_stopped):
                    self._changed.wait()
                if self._is_stopped:
                    return
                touched, self._touched = self._touched, {}
            try:
                report = self._take_turn(touched)
            except Exception as error:  # a fault of ds2: no stream may wait for ever
                report = Report([_fail(line, error) for line in self._forget_all()])
            if report.updates or report.settled:
                self._listener(report)

    def _take_turn(self, touched: Iterable[Line]) -> Report:
        """Let these lines hear their inboxes. Then do a step if a line is ready for one."""
        updates = [update for line in touched if (update := self._hear(line))]
        batch = self._choose()
        report = self._step(batch, updates) if batch else Report(updates)
        with self._changed:
            for update in report.updates:
                if update.is_done or update.error:
                    self._forget(update.line)
            for line in (*touched, *batch):
                self._settle(line, report)
        return report

    def _forget_all(self) -> list[Line]:
        with self._changed:
            lines = list(self._lines)
            for line in lines:
                self._forget(line)
            self._ready.clear()
        return lines

    def _settle(self, line: Line, report: Report) -> None:
        """Note that the line needs another turn, or report that nothing is left to do for it."""
        if line.is_closed or line in self._ready:
            return
        if line.has_work:
            self._touched[line] = None
        elif line.num_settled < line.num_wanted:
            line.num_settled = line.num_wanted
            line.ready_since_s = None
            report.settled.append((line, line.num_wanted))

    def _hear(self, line: Line) -> Update | None:
        """Let a stream hear its inbox. Returns an update if that alone made something happen."""
        try:
            if isinstance(line.stream, WholeStream):
                return _hear_whole(line, line.stream)
            return self._hear_stream(line, line.stream)
        except Exception as error:
            return _fail(line, error)

    def _hear_stream(self, line: Line, stream: Stream) -> Update | None:
        events: list[Event] = []
        while line.inbox and stream.num_pending < self._max_frames(stream, LONGEST_STEP_S):
            if not isinstance(line.inbox[0], str):
                waveform = _take_samples(line.inbox, round(LONGEST_STEP_S * SAMPLE_RATE_HZ))
                stream.hear(waveform)
                line.num_heard += len(waveform)
            elif stream.is_ready:
                break  # a request comes after the audio before it
            else:
                line.num_answered += 1
                if line.inbox.popleft() == "flush":
                    events += stream.flush()
                else:
                    stream.end()
        if stream.is_ready and not stream.is_done:
            self._ready[line] = None
            line.num_needed = NO_MORE_NEEDED
        else:
            line.num_needed = samples_needed(stream, line.num_heard)
        if stream.is_done:
            events += stream.take_events()
        if not events and not stream.is_done:
            return None
        return Update(line, events, line.heard_s, stream.is_done)

    def _choose(self) -> list[Line]:
        """The lines of the next step: those that have been due for longest.

        A line of live speech is due when its chunk is there. Other lines are due a little later. So
        they yield, but they do not wait for ever. While somebody speaks, uploads get only a share
        of a step, which keeps the step short.
        """
        now_s = time.monotonic()
        self._ready = {line: None for line in self._ready if not line.is_closed}

        def due_s(line: Line) -> float:
            since_s = now_s if line.ready_since_s is None else line.ready_since_s
            return since_s if line.is_urgent else since_s + UPLOAD_PATIENCE_S

        room_for_uploads = self._batch_size
        if self._has_speakers():
            room_for_uploads = max(1, self._batch_size // UPLOAD_SHARE)
        batch: list[Line] = []
        for line in sorted(self._ready, key=due_s):
            if len(batch) == self._batch_size:
                break
            if not line.is_live:
                if not room_for_uploads:
                    continue
                room_for_uploads -= 1
            batch.append(line)
        return batch

    def _step(self, batch: list[Line], updates: list[Update]) -> Report:
        """Move the streams of these lines by a step of the network, and decode its outputs."""
        start_s = time.monotonic()
        delays_s = [start_s - (line.ready_since_s or start_s) for line in batch]
        updates += [update for line in batch if (update := self._hear(line))]
        failed = {update.line for update in updates if update.error}
        lines = [line for line in batch if line not in failed]
        for line in batch:
            del self._ready[line]
        streams = [line.stream for line in lines if isinstance(line.stream, Stream)]
        if not streams:
            return Report(updates)
        longest_s = LONGEST_LIVE_STEP_S if self._has_speakers() else LONGEST_STEP_S
        num_frames = frames_of_step(streams, self._max_frames(streams[0], longest_s))
        try:
            log_probs = step_network(streams, num_frames)
        except Exception as error:
            return Report([*updates, *(_fail(line, error) for line in lines)])
        stepped_s = time.monotonic()
        run_all = self._pool.map if self._pool else map
        updates += run_all(_decode, lines, streams, log_probs)
        end_s = time.monotonic()
        latencies_s = []
        for line, stream in zip(lines, streams, strict=True):
            if line.is_live:
                latencies_s.append(end_s - line.arrival_s(round(line.heard_s * SAMPLE_RATE_HZ)))
            line.num_needed = samples_needed(stream, line.num_heard)
            line.ready_since_s = end_s if line.has_work else None
        features = streams[0].model.bundle.features
        return Report(
            updates,
            len(lines),
            step_s=stepped_s - start_s,
            decode_s=end_s - stepped_s,
            audio_s=len(lines) * num_frames * features.stride / features.sample_rate_hz,
            delays_s=delays_s,
            latencies_s=latencies_s,
        )

    def _has_speakers(self) -> bool:
        with self._changed:
            return any(line.is_urgent for line in self._lines)

    def _max_frames(self, stream: Stream, audio_s: float) -> int:
        features = stream.model.bundle.features
        return round(audio_s * features.sample_rate_hz / features.stride)


def _hear_whole(line: Line, stream: WholeStream) -> Update | None:
    """Let a stream of a model of whole utterances hear its inbox. These models share no steps."""
    events: list[Event] = []
    is_done = False
    while line.inbox and not is_done:
        item = line.inbox[0]
        if isinstance(item, str):
            line.inbox.popleft()
            line.num_answered += 1
            if item == "flush":
                events += stream.flush()
            else:
                stream.close()
                is_done = True
        else:
            waveform = _take_samples(line.inbox, round(LONGEST_STEP_S * SAMPLE_RATE_HZ))
            stream.feed(waveform)
            line.num_heard += len(waveform)
        events += stream.take_events()
    line.num_needed = SAMPLE_RATE_HZ
    return Update(line, events, line.heard_s, is_done)


def _take_samples(inbox: "deque[Item]", most: int) -> Waveform:
    """Take samples out of the inbox: up to the next request, or until there are `most`."""
    pieces: list[Waveform] = []
    num_samples = 0
    while inbox and not isinstance(inbox[0], str) and num_samples < most:
        piece = inbox.popleft()
        assert not isinstance(piece, str)
        pieces.append(piece)
        num_samples += len(piece)
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _decode(line: Line, stream: Stream, log_probs: NDArray[np.float32]) -> Update:
    """Decode a stream's outputs of a step."""
    try:
        stream.take_outputs(log_probs)
        return Update(line, stream.take_events(), line.heard_s, stream.is_done)
    except Exception as error:
        return _fail(line, error)


def _fail(line: Line, error: Exception) -> Update:
    if not isinstance(error, InputError):  # the client gets that one
        facts = {"request": line.request_id}
        logger.error("a stream failed", exc_info=error, extra={"facts": facts})
    return Update(line, [], error=error)
