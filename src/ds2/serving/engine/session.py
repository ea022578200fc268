"""A session: one client's stream, as a wire protocol sees it in the event loop."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from ds2.audio import SAMPLE_RATE_HZ, Resampler, Waveform
from ds2.audio.pcm import LOUDEST, checked
from ds2.ctc.phrases import HotPhrase
from ds2.errors import InputError
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.config import ServeSettings
from ds2.serving.engine.dispatch import Line, Update
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import told_of_fault
from ds2.text.spacing import join_words
from ds2.transcripts.events import Event, Final, Partial

MOST_UNREAD = 1000
"""Events that a client may leave unread. A partial that a newer one replaces does not count."""
LONG_S = 2.0
"""A thread resamples audio that is longer than this; the event loop resamples the rest."""


@dataclass(frozen=True)
class StreamOptions:
    """The options of a stream, as a client asks for them."""

    model: str | None = None  # its name; None: the first model of the language
    language: str | None = None  # "en", "zh", or a longer name such as "en-US"
    sample_rate_hz: int = SAMPLE_RATE_HZ  # of the samples that the client sends
    endpoints: EndpointRules | None = (
        None  # where segments end, if the model streams; None: one segment
    )
    phrases: tuple[HotPhrase, ...] = ()  # in addition to the server's phrases
    num_alternatives: int = 0  # other readings of each segment
    partials: bool = True
    repeats: bool = False  # send a partial after every step, even if its text is the same
    is_live: bool = True  # an upload is not live, and yields to live streams


class Session:
    """One stream: `feed` it, read its `events`, `finish` it. `Service.open` makes it.

    It is an async context manager, which closes the session. Use it from one event loop only.
    """

    def __init__(
        self,
        line: Line,
        model: str,
        options: StreamOptions,
        settings: ServeSettings,
        on_end: Callable[["Session"], None],
    ) -> None:
        """on_end: called once, when the session is over."""
        self.id = next(_numbers)
        self.line = line
        self.model = model
        self.options = options
        self.ending = "open"  # then "finished", "left" or "refused"
        self.heard_s = 0.0  # audio that the model has taken
        self.text = ""  # of the finals, while `log_transcripts`
        self._settings = settings
        self._on_end = on_end
        self._resampler = Resampler(options.sample_rate_hz)
        self._num_settled = 0  # items whose work is done: see `Line.num_wanted`
        self._num_samples = 0  # fed, at the client's rate
        self._num_final_words = 0
        self._began_s = time.monotonic()
        self._events: deque[Event] = deque()
        self._partial = Partial("", "")  # the newest partial of the segment under way
        self._waiters: list[asyncio.Future[None]] = []
        self._error: Refused | None = None
        self._reason: Refused | None = None  # why the server ends it; sent after its last words
        self._has_finished = False  # the client has sent all of its audio
        self._is_resampling = False  # in another thread
        self._is_done = False

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def feed(self, waveform: Waveform) -> None:
        """Take (N,) float32 samples at the options' rate.

        Waits while more audio is queued than the server's buffer limit. Once the server has ended
        the session, its last words are on their way, and more audio is left out. Raises Refused for
        samples that are no sound, and if the session is over.
        """
        if self._is_ending:
            return
        self._raise_if_over()
        with np.errstate(over="ignore", invalid="ignore"):
            loudness = np.dot(waveform, waveform)
        if not loudness <= LOUDEST**2:  # also for NaN; cheaper than a look at every sample
            self._check(waveform)
        self._num_samples += len(waveform)
        await self._feed_resampled(waveform)
        while self.line.waiting_s > self._settings.max_buffer_s and not self._is_over:
            await self._wait_for_news()

    def _check(self, waveform: Waveform) -> None:
        """Raise Refused for samples that are no sound."""
        rate_hz = self.options.sample_rate_hz
        try:
            for _ in checked([waveform], self._num_samples, rate_hz, "the audio"):
                pass
        except InputError as error:
            raise Refused(400, str(error)) from None

    async def _feed_resampled(self, waveform: Waveform) -> None:
        rate_hz = self.options.sample_rate_hz
        if rate_hz != SAMPLE_RATE_HZ:
            if len(waveform) > LONG_S * rate_hz:
                self._is_resampling = True
                try:
                    waveform = await asyncio.to_thread(self._resampler.feed, waveform)
                finally:
                    self._is_resampling = False
            else:
                waveform = self._resampler.feed(waveform)
            waveform = np.clip(waveform, -1.0, 1.0)  # the filter overshoots
        if len(waveform):
            self.line.feed(waveform)
        if self._is_ending:
            self._finish_line()

    async def flush(self) -> None:
        """End the segment after what has been fed; its Final and Endpoint come as events."""
        if self._is_ending:
            return
        self._raise_if_over()
        self.line.flush()

    async def finish(self) -> None:
        """Take note that no more audio comes; the last events follow. May be called again."""
        if self._has_finished or self._is_ending:
            return
        self._raise_if_over()
        self._finish_line()

    def _finish_line(self) -> None:
        if self._has_finished:
            return
        self._has_finished = True
        if len(rest := self._resampler.finish()):
            self.line.feed(np.clip(rest, -1.0, 1.0))
        self.line.finish()

    @property
    def is_behind(self) -> bool:
        """Whether a whole chunk of the audio so far, or a request, waits for the model."""
        return self._num_settled < self.line.num_wanted and not self._is_over

    async def catch_up(self) -> None:
        """Wait until the model has taken all whole chunks and requests so far."""
        while self.is_behind:
            await self._wait_for_news()

    async def events(self) -> AsyncIterator[Event]:
        """All events to the end. A slow reader gets only the newest partial.

        Raises Refused, with the reason, if the server has ended the session.
        """
        while True:
            while self._events:
                yield self._events.popleft()
            if self._error is not None:
                raise self._error
            if self._is_over:
                return
            await self._wait_for_news()

    def take_events(self) -> list[Event]:
        """The unread events, without waiting for more. Raises Refused as `events` does."""
        events = list(self._events)
        self._events.clear()
        if self._error is not None and not events:
            raise self._error
        return events

    @property
    def is_done(self) -> bool:
        """Whether no more events come."""
        return self._is_done

    def close(self) -> None:
        """End the session if it is not over: its client has left."""
        if not self._is_over:
            self._end("left")

    def fail(self, error: Refused) -> None:
        """End the session at once. Its reader gets this error."""
        if not self._is_over:
            self._error = error
            self._end("refused")

    def end(self, reason: Refused) -> None:
        """End the session because the server wants to. Its reader gets the words so far, then this.

        A session that its client has finished ends by itself.
        """
        if self._is_over or self._has_finished:
            return
        self._reason = reason
        if not self._is_resampling:  # else the resampled audio goes in first
            self._finish_line()

    def take(self, update: Update) -> None:
        """Take an update from the dispatcher."""
        if self._is_over:
            return
        has_moved = update.heard_s > self.heard_s
        self.heard_s = update.heard_s
        for event in update.events:
            self._append(event)
        is_told = any(isinstance(event, Partial | Final) for event in update.events)
        if self.options.repeats and has_moved and not is_told:
            self._append(self._partial)
        if isinstance(update.error, InputError):
            self.fail(Refused(400, str(update.error)))
        elif update.error is not None:
            self.fail(Refused(500, told_of_fault("stream", self.line.request_id)))
        elif update.is_done:
            self._is_done = True
            self._error = self._reason
            self._end("refused" if self._reason else "finished")
        elif len(self._events) > MOST_UNREAD:
            self.fail(Refused(408, f"over {MOST_UNREAD} events are unread"))
        else:
            self._wake()

    def settle(self, num_settled: int) -> None:
        """Note that the dispatcher has done all work of the first `num_settled` items."""
        self._num_settled = num_settled
        self._wake()

    def facts(self) -> dict[str, Any]:
        """What the log says about the session."""
        facts = {
            "stream": self.id,
            "request": self.line.request_id,
            "model": self.model,
            "live": self.options.is_live,
            "ending": self.ending,
            "audio_s": round(self._num_samples / self.options.sample_rate_hz, 2),
            "open_s": round(time.monotonic() - self._began_s, 2),
            "words": self._num_final_words,
        }
        if self._error is not None:
            facts["error"] = self._error.message
        if self._settings.log_transcripts:
            facts["text"] = self.text
        return facts

    def _append(self, event: Event) -> None:
        if isinstance(event, Partial):
            if not self.options.partials:
                return
            if self._events and isinstance(self._events[-1], Partial):
                self._events.pop()  # nobody has read it, and it is out of date
            self._partial = event
        if isinstance(event, Final):
            self._partial = Partial("", "")
            self._num_final_words += len(event.transcript.words)
            if self._settings.log_transcripts:
                transcript = event.transcript
                self.text = join_words((self.text, transcript.text), transcript.language)
        self._events.append(event)

    @property
    def _is_over(self) -> bool:
        return self.ending != "open"

    @property
    def _is_ending(self) -> bool:
        """Whether the server has ended the session and its last words are on their way."""
        return self._reason is not None and not self._is_over

    def _raise_if_over(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_over or self._has_finished:
            raise self._reason or Refused(400, "this stream has been finished: open a new one")

    def _end(self, ending: str) -> None:
        self.ending = ending
        self.line.close()
        self._wake()
        self._on_end(self)

    async def _wait_for_news(self) -> None:
        """Wait for the next update of this stream, or for its end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


_numbers = itertools.count(1)
