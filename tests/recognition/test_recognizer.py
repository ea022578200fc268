"""The recogniser: one path for files, pieces and batches, in both languages and directions."""

import itertools
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.models import TINY, TINY_BIDIRECTIONAL, write_random_bundle
from ds2 import InputError, Recognizer, Transcript
from ds2.audio import write_wav
from ds2.ctc.hypothesis import Token
from ds2.manifest import Utterance
from ds2.recognition.segments import words_of
from ds2.text.alphabet import english_bigrams, english_characters, mandarin_characters


def sound(duration_s: float, seed: int = 0) -> np.ndarray:
    """Noise with changing loudness and colour, so that labels change, too."""
    random = np.random.default_rng(seed)
    samples = random.standard_normal(round(16_000 * duration_s))
    loudness = np.repeat(random.random(len(samples) // 800 + 1), 800)[: len(samples)]
    return (0.1 * loudness * np.convolve(samples, random.random(5), "same")).astype(np.float32)


@pytest.fixture(scope="module", params=["forward", "bidirectional"])
def recognizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Recognizer:
    config = TINY if request.param == "forward" else TINY_BIDIRECTIONAL
    bundle = write_random_bundle(tmp_path_factory.mktemp(request.param), config)
    return Recognizer.load(bundle.path)


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(write_random_bundle(tmp_path_factory.mktemp("streaming")))


@given(cuts=st.lists(st.integers(0, 24_000), max_size=6))
@settings(deadline=None, max_examples=15)
def test_any_pieces_give_what_the_whole_gives(recognizer: Recognizer, cuts: list[int]) -> None:
    waveform = sound(1.5)
    stream = recognizer.stream()
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(waveform)]):
        stream.feed(waveform[start:stop])
    found, expected = stream.finish(), recognizer.transcribe(waveform)
    assert found.text == expected.text
    assert [(w.start_s, w.end_s) for w in found.words] == [
        (w.start_s, w.end_s) for w in expected.words
    ]
    assert expected.text, "a test of nothing: the random model says nothing"


def test_batches_and_threads_give_what_each_recording_gives_alone(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.wav" for i in range(7)]
    for i, path in enumerate(paths):
        write_wav(path, sound(0.1 + 0.7 * i, seed=i))
    alone = [recognizer.transcribe(path).text for path in paths]
    for batch_size, jobs in ((1, 1), (3, 1), (8, 1), (2, 3)):
        results = dict(recognizer.transcribe_many(paths, batch_size=batch_size, jobs=jobs))
        assert [results[i].text for i in range(7)] == alone  # type: ignore[union-attr]


def test_a_caller_who_wants_no_more_leaves_no_threads(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.wav" for i in range(6)]
    for path in paths:
        write_wav(path, sound(1.0))
    before = threading.active_count()
    results = recognizer.transcribe_many(paths, batch_size=1, jobs=2)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_every_core_gets_a_share_of_a_few_recordings(
    streaming: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    monkeypatch.setattr(
        "ds2.recognition.recognizer.advance", lambda streams: sizes.append(len(streams))
    )
    monkeypatch.setattr("ds2.recognition.recognizer.Stream.is_done", True)
    assert len(dict(streaming.transcribe_many([sound(0.5)] * 4, batch_size=8, jobs=2))) == 4
    assert max(sizes) == 2


def test_one_bad_recording_does_not_stop_the_others(recognizer: Recognizer, tmp_path: Path) -> None:
    write_wav(tmp_path / "good.wav", sound(0.5))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    names = [tmp_path / "good.wav", tmp_path / "bad.wav", tmp_path / "none.wav"]
    results = dict(recognizer.transcribe_many(names, batch_size=2))
    assert isinstance(results[0], Transcript)
    assert "bad.wav: " in str(results[1])
    assert isinstance(results[1], InputError)
    assert "none.wav: no such file" in str(results[2])


def test_part_of_a_recording_is_that_part(recognizer: Recognizer, tmp_path: Path) -> None:
    waveform = sound(2.0)
    write_wav(tmp_path / "a.wav", waveform)
    part = Utterance(tmp_path / "a.wav", duration_s=1.0, offset_s=0.5)
    transcript = recognizer.transcribe(part)
    assert transcript.duration_s == pytest.approx(1.0)
    rounded = np.rint(waveform * 32768).astype(np.int16)[8000:24000] / np.float32(32768)
    assert transcript.text == recognizer.transcribe(rounded).text


@pytest.mark.parametrize("num_samples", [0, 1, 319, 320, 481])
def test_very_short_audio_is_no_error(recognizer: Recognizer, num_samples: int) -> None:
    transcript = recognizer.transcribe(np.zeros(num_samples, np.float32))
    assert transcript.duration_s == num_samples / 16_000


def test_log_probs_are_a_distribution_for_each_output_frame(recognizer: Recognizer) -> None:
    log_probs = recognizer.log_probs(sound(1.0))
    stride = recognizer.bundle.model.time_stride
    assert log_probs.shape == (-(-99 // stride), 29)
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1, atol=1e-5)


def test_a_stream_that_has_been_finished_takes_no_more(recognizer: Recognizer) -> None:
    stream = recognizer.stream()
    stream.feed(sound(1.0))
    transcript = stream.finish()
    with pytest.raises(ValueError, match="has been finished: a new recording needs a new stream"):
        stream.feed(sound(1.0))
    assert stream.finish() == transcript


def test_a_stream_keeps_nothing_of_the_callers_buffer(recognizer: Recognizer) -> None:
    waveform, buffer = sound(1.5), np.empty(800, np.float32)
    stream = recognizer.stream()
    for start in range(0, len(waveform), 800):
        buffer[:] = waveform[start : start + 800]
        stream.feed(buffer)
    assert stream.finish().text == recognizer.transcribe(waveform).text


def test_a_stream_tells_what_it_has_so_far(streaming: Recognizer) -> None:
    stream = streaming.stream()
    stream.feed(sound(3.0))
    so_far = stream.transcript()
    assert so_far.text
    assert stream.finish().text.startswith(so_far.text[:-1])


def test_audio_past_a_window_of_a_whole_utterance_model_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer(write_random_bundle(tmp_path, TINY_BIDIRECTIONAL))
    monkeypatch.setattr("ds2.recognition.streams.WINDOW_S", 2.0)
    monkeypatch.setattr("ds2.recognition.streams.OVERLAP_S", 1.0)
    waveform = sound(7.3)
    in_windows = recognizer.log_probs(waveform)
    monkeypatch.setattr("ds2.recognition.streams.WINDOW_S", 60.0)
    whole = recognizer.log_probs(waveform)
    assert len(in_windows) == len(whole) == -(-729 // 2)
    # Nothing shifts: most outputs are nearest to the whole's output at the same place.
    far = np.abs(in_windows[:, None] - whole[None]).mean(axis=2)
    assert (far.argmin(axis=1) == np.arange(len(whole))).mean() > 0.6


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(streaming: Recognizer) -> None:
    def peak_bytes(duration_s: int) -> int:
        stream = streaming.stream(chunk_s=2.0)
        silence = np.zeros(16_000 * 10, np.float32)
        tracemalloc.start()
        for _ in range(duration_s // 10):
            stream.feed(silence)
        stream.close()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(20)
    assert peak_bytes(600) < 1.5 * peak_bytes(60)


def tokens_of(text: str, symbols: tuple[str, ...]) -> list[Token]:
    return [
        Token(symbols.index(symbol) + 1, 2 * i, 2 * i + 1, float(np.log(0.5)), 0.5)
        for i, symbol in enumerate(text.split("|"))
    ]


def test_words_by_hand() -> None:
    alphabet = english_characters()
    tokens = tokens_of("h|i| | |y|o|u", alphabet.symbols)
    hi, you = words_of(tokens, alphabet, 0.03, 10.0)
    assert (hi.text, hi.start_s, hi.end_s) == ("hi", 0.0, 0.09)
    assert (you.text, you.start_s, you.end_s) == ("you", 0.24, 0.39)
    assert hi.confidence == pytest.approx(0.5)


def test_words_of_bigrams_and_of_mandarin() -> None:
    bigrams = english_bigrams()
    words = words_of(tokens_of("th|e| |ca|t", bigrams.symbols), bigrams, 0.04, 10.0)
    assert [word.text for word in words] == ["the", "cat"]
    mandarin = mandarin_characters(["你好"])
    words = words_of(tokens_of("你|好|o|k| |o|k|你", mandarin.symbols), mandarin, 0.04, 10.0)
    assert [word.text for word in words] == ["你", "好", "ok", "ok", "你"]


def test_no_word_ends_after_the_audio() -> None:
    alphabet = english_characters()
    (word,) = words_of(tokens_of("h|i", alphabet.symbols), alphabet, 0.03, 0.05)
    assert word.end_s == 0.05
