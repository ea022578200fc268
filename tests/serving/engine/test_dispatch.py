"""Batch Dispatch: who goes with whom, who goes first, and that company changes nothing."""

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.models import TINY_BIDIRECTIONAL, write_random_bundle
from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.recognition.recognizer import Recognizer, Stream
from ds2.serving.engine.dispatch import UPLOAD_PATIENCE_S, Dispatcher, Line, Report
from ds2.serving.engine.steps import frames_of_step, samples_needed
from ds2.transcripts.events import Final
from ds2.transcripts.transcript import Transcript

CHUNK_S = 0.12
ENOUGH = round(0.2 * SAMPLE_RATE_HZ)  # samples; more than a chunk, less than two


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(write_random_bundle(tmp_path_factory.mktemp("tiny")))


def noise(num_samples: int, seed: int = 0) -> Waveform:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


class Watched:
    """A dispatcher whose reports wait to be read; it can be held up between two steps."""

    def __init__(self, recognizer: Recognizer, *, batch_size: int = 32, decode_threads: int = 1):
        self.reports: queue.Queue[Report] = queue.Queue()
        self._recognizer = recognizer
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self.dispatcher = Dispatcher(
            self._hear, batch_size=batch_size, decode_threads=decode_threads
        )

    def _hear(self, report: Report) -> None:
        self.reports.put(report)
        self._may_go_on.wait(30)

    def line(self, *, is_live: bool = True) -> Line:
        stream = self._recognizer.stream(chunk_s=CHUNK_S)
        return self.dispatcher.add(stream, is_live=is_live)

    def hold(self) -> None:
        """Let it do a step, and then wait for `go_on`."""
        self._may_go_on.clear()
        line = self.line()
        line.feed(noise(ENOUGH))
        self.reports.get(timeout=120)
        line.close()

    def go_on(self) -> None:
        self._may_go_on.set()

    def next_step(self) -> tuple[set[Line], Report]:
        """The next report of a step, and the lines in it."""
        while True:
            report = self.reports.get(timeout=120)
            if report.batch_size:
                return {update.line for update in report.updates}, report

    def transcripts(self, num_lines: int) -> dict[Line, Transcript]:
        """The final of each line, once all are done."""
        finals: dict[Line, Transcript] = {}
        num_done = 0
        while num_done < num_lines:
            for update in self.reports.get(timeout=120).updates:
                assert update.error is None
                num_done += update.is_done
                for event in update.events:
                    if isinstance(event, Final):
                        finals[update.line] = event.transcript
        return finals


@pytest.fixture
def watched(recognizer: Recognizer) -> Iterator[Watched]:
    made = Watched(recognizer, batch_size=4)
    yield made
    made.go_on()
    made.dispatcher.stop()


@settings(deadline=None, max_examples=10)
@given(data=st.data(), decode_threads=st.sampled_from([1, 3]))
def test_streams_that_share_steps_are_what_they_are_alone(
    recognizer: Recognizer, data: st.DataObject, decode_threads: int
) -> None:
    """However many there are, however long, cut and mixed, live or not."""
    watched = Watched(recognizer, batch_size=3, decode_threads=decode_threads)
    waveforms = [
        noise(data.draw(st.integers(0, 3 * SAMPLE_RATE_HZ)), seed)
        for seed in range(data.draw(st.integers(1, 6)))
    ]
    lines = [watched.line(is_live=data.draw(st.booleans())) for _ in waveforms]
    waiting = list(zip(lines, waveforms, strict=True))
    while waiting:
        line, rest = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        if not len(rest):
            line.finish()
            continue
        cut = data.draw(st.integers(1, 40_000))
        line.feed(rest[:cut])
        waiting.append((line, rest[cut:]))
    finals = watched.transcripts(len(lines))
    watched.dispatcher.stop()
    for line, waveform in zip(lines, waveforms, strict=True):
        alone = recognizer.transcribe(waveform)
        assert finals[line].text == alone.text
        assert [word.start_s for word in finals[line].words] == [
            word.start_s for word in alone.words
        ]


def test_what_came_during_a_step_shares_the_next_one(watched: Watched) -> None:
    watched.hold()
    lines = {watched.line() for _ in range(3)}
    for line in lines:
        line.feed(noise(ENOUGH))
    watched.go_on()
    assert watched.next_step()[0] == lines


def test_a_step_waits_for_nobody(watched: Watched) -> None:
    first, second = watched.line(), watched.line()
    second.feed(noise(100))  # no chunk yet
    first.feed(noise(ENOUGH))
    assert watched.next_step()[0] == {first}


def test_who_has_waited_longest_goes_first(watched: Watched) -> None:
    watched.hold()
    lines = [watched.line() for _ in range(6)]
    for line in lines:
        line.feed(noise(ENOUGH))
    watched.go_on()
    assert watched.next_step()[0] == set(lines[:4])
    assert watched.next_step()[0] == set(lines[4:])


def test_live_streams_come_before_uploads_that_get_a_share(watched: Watched) -> None:
    watched.hold()
    uploads = [watched.line(is_live=False) for _ in range(6)]
    for line in uploads:
        line.feed(noise(3 * SAMPLE_RATE_HZ))
    live = [watched.line() for _ in range(2)]
    for line in live:
        line.feed(noise(ENOUGH))
    watched.go_on()
    lines, _ = watched.next_step()
    assert set(live) < lines
    assert len(lines) == len(live) + 1  # a quarter of the batch


def test_an_upload_that_has_waited_long_is_not_passed_over(watched: Watched) -> None:
    watched.hold()
    upload = watched.line(is_live=False)
    upload.feed(noise(3 * SAMPLE_RATE_HZ))
    live = [watched.line() for _ in range(4)]  # as many as a step takes
    time.sleep(1.1 * UPLOAD_PATIENCE_S)
    for line in live:
        line.feed(noise(ENOUGH))
    watched.go_on()
    assert upload in watched.next_step()[0]


def test_who_sends_faster_than_real_time_yields_to_who_speaks(recognizer: Recognizer) -> None:
    watched = Watched(recognizer, batch_size=1)
    watched.hold()
    fast, speaker = watched.line(), watched.line()
    fast.feed(noise(4 * SAMPLE_RATE_HZ))
    speaker.feed(noise(ENOUGH))
    watched.go_on()
    assert watched.next_step()[0] == {speaker}
    assert watched.next_step()[0] == {fast}
    watched.dispatcher.stop()


def test_steps_are_long_where_nobody_speaks(watched: Watched) -> None:
    watched.hold()
    upload = watched.line(is_live=False)
    upload.feed(noise(3 * SAMPLE_RATE_HZ))
    watched.go_on()
    assert watched.next_step()[1].audio_s > 10 * CHUNK_S


def test_steps_are_short_while_somebody_speaks(watched: Watched) -> None:
    watched.hold()
    watched.line()  # who speaks has no chunk yet, and is not to wait for a long step
    upload = watched.line(is_live=False)
    upload.feed(noise(3 * SAMPLE_RATE_HZ))
    watched.go_on()
    lines, report = watched.next_step()
    assert lines == {upload}
    assert report.audio_s <= 0.4


def test_who_is_silent_does_not_slow_uploads(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ds2.serving.engine.dispatch.SILENT_S", 0.05)
    silent = watched.line()
    silent.feed(noise(100))  # too little for a chunk; the stream stays open
    watched.hold()
    time.sleep(0.1)
    uploads = {watched.line(is_live=False) for _ in range(4)}
    for line in uploads:
        line.feed(noise(3 * SAMPLE_RATE_HZ))
    watched.go_on()
    lines, report = watched.next_step()
    assert lines == uploads  # not a share of the batch
    assert report.audio_s > 4 * 10 * CHUNK_S  # nor a short step


def test_live_streams_have_their_turn_however_many_uploads_wait(recognizer: Recognizer) -> None:
    """More uploads have waited long than a step takes; the senders were there before them."""
    watched = Watched(recognizer, batch_size=32)
    watched.hold()
    live = {watched.line() for _ in range(12)}
    for line in live:
        line.feed(noise(4 * SAMPLE_RATE_HZ))  # ahead of real time: as urgent as an upload
    uploads = [watched.line(is_live=False) for _ in range(40)]
    for line in uploads:
        line.feed(noise(ENOUGH))
    time.sleep(1.1 * UPLOAD_PATIENCE_S)
    watched.go_on()
    lines, _ = watched.next_step()
    assert live < lines
    assert len(lines) == 32
    watched.dispatcher.stop()


def test_steps_are_long_beside_who_sends_faster_than_real_time(watched: Watched) -> None:
    watched.hold()
    fast = watched.line()
    fast.feed(noise(30 * SAMPLE_RATE_HZ))
    watched.go_on()
    lines, report = watched.next_step()
    assert lines == {fast}
    assert report.audio_s > 1.0


def test_audio_that_waits_is_counted(watched: Watched) -> None:
    watched.hold()
    line = watched.line()
    line.feed(noise(SAMPLE_RATE_HZ))
    line.feed(noise(SAMPLE_RATE_HZ))
    assert line.waiting_s == 2.0
    assert line.has_work
    watched.go_on()
    line.finish()
    watched.transcripts(1)
    assert line.waiting_s == pytest.approx(0, abs=0.03)


def test_a_line_that_is_closed_takes_part_no_more(watched: Watched) -> None:
    watched.hold()
    closed, other = watched.line(), watched.line()
    closed.feed(noise(ENOUGH))
    other.feed(noise(ENOUGH))
    closed.close()
    closed.feed(noise(ENOUGH))
    watched.go_on()
    assert watched.next_step()[0] == {other}


def test_a_stream_that_fails_fails_alone(watched: Watched, recognizer: Recognizer) -> None:
    watched.hold()
    broken, sound = watched.line(), watched.line()
    assert isinstance(broken.stream, Stream)
    broken.stream.segments = None  # type: ignore[assignment]
    for line in (broken, sound):
        line.feed(noise(2 * SAMPLE_RATE_HZ))
        line.finish()
    watched.go_on()
    errors, finals = set(), {}
    while sound not in finals:
        for update in watched.reports.get(timeout=120).updates:
            if update.error:
                errors.add(update.line)
            for event in update.events:
                assert isinstance(event, Final) or update.line is sound
                if isinstance(event, Final):
                    finals[update.line] = event.transcript
    assert errors == {broken}
    assert finals[sound].text == recognizer.transcribe(noise(2 * SAMPLE_RATE_HZ)).text


def test_streams_take_many_small_pieces_while_steps_run(
    watched: Watched, recognizer: Recognizer
) -> None:
    waveform = noise(2 * SAMPLE_RATE_HZ)
    lines = [watched.line(is_live=index % 2 == 0) for index in range(4)]
    for position in range(0, len(waveform), 16):
        for line in lines:
            line.feed(waveform[position : position + 16])
    for line in lines:
        line.finish()
    texts = {final.text for final in watched.transcripts(len(lines)).values()}
    assert texts == {recognizer.transcribe(waveform).text}


def test_models_of_whole_utterances_are_served_too(tmp_path: Path) -> None:
    recognizer = Recognizer(write_random_bundle(tmp_path, TINY_BIDIRECTIONAL))
    watched = Watched(recognizer)
    line = watched.line()
    for piece in np.array_split(noise(2 * SAMPLE_RATE_HZ), 5):
        line.feed(piece)
    line.finish()
    assert watched.transcripts(1)[line] == recognizer.transcribe(noise(2 * SAMPLE_RATE_HZ))
    watched.dispatcher.stop()


@given(num_samples=st.integers(0, 5000))
@settings(deadline=None, max_examples=50)
def test_the_samples_that_a_chunk_needs_are_exact(recognizer: Recognizer, num_samples: int) -> None:
    stream = recognizer.stream(chunk_s=0.4)
    assert isinstance(stream, Stream)
    stream.hear(noise(num_samples))
    if stream.is_ready:
        return
    needed = samples_needed(stream, num_samples)
    stream.hear(noise(needed - 1))
    assert not stream.is_ready
    stream.hear(noise(1))
    assert stream.is_ready


def test_a_step_takes_chunks_that_all_have(recognizer: Recognizer) -> None:
    streams = [recognizer.stream(chunk_s=CHUNK_S) for _ in range(3)]
    for stream, audio_s in zip(streams, (1.0, 2.0, 0.01), strict=True):
        assert isinstance(stream, Stream)
        stream.hear(noise(round(audio_s * SAMPLE_RATE_HZ)))
    long, longer, ended = streams
    ended.end()
    assert frames_of_step([long, longer, ended], 200) == 96  # of 99, in chunks of 12
    assert frames_of_step([long, longer, ended], 30) == 24
    assert frames_of_step([longer], 5) == 12  # a chunk at least
    assert frames_of_step([ended], 200) == ended.num_frames_left
