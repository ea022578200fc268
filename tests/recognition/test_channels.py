"""Calls with a speaker on each channel, transcribed separately."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from aids.models import TINY_BIDIRECTIONAL, write_random_bundle
from aids.pipes import Pipe
from ds2 import Recognizer, read_audio
from ds2.transcripts.channels import merged
from ds2.transcripts.transcript import Segment, Transcript

ROOT = Path(__file__).parents[2]
CLIPS = [ROOT / "samples" / f"en-{number}.ogg" for number in (1, 2)]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer("en", greedy=True)


@pytest.fixture(scope="module")
def channels() -> list[np.ndarray]:
    """Two people, one after the other."""
    first, second = map(read_audio, CLIPS)
    silence = np.zeros_like
    return [
        np.concatenate([first, silence(second)]),
        np.concatenate([silence(first), second]),
    ]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, channels: list[np.ndarray]) -> Path:
    path = tmp_path_factory.mktemp("call") / "call.wav"
    soundfile.write(path, np.stack(channels, axis=1), 16_000, subtype="FLOAT")
    return path


def test_split_channels_are_what_each_is_alone(
    recognizer: Recognizer, call: Path, channels: list[np.ndarray]
) -> None:
    told: list[Segment] = []
    split = recognizer.transcribe(call, channels="split", on_segment=told.append)
    alone = [recognizer.transcribe(each) for each in channels]
    assert [each.text for each in split.channels] == [each.text for each in alone]
    assert all(each.text for each in alone)
    assert split.text == f"{alone[0].text} {alone[1].text}"
    assert [segment.speaker for segment in told] == ["Speaker 1", "Speaker 2"]
    assert told == split.segments()
    for number, each in enumerate(alone, 1):
        chosen = recognizer.transcribe(call, channels=number)
        assert chosen.text == each.text
        assert not chosen.channels


@pytest.mark.slow
def test_split_is_the_same_in_a_batch_from_a_pipe_and_from_memory(
    recognizer: Recognizer, call: Path, channels: list[np.ndarray]
) -> None:
    expected = recognizer.transcribe(call, channels="split")

    recordings = [call, np.stack(channels, axis=1), Pipe(call.read_bytes()), CLIPS[0]]
    for batch_size, jobs in ((1, 1), (8, 1), (2, 2)):
        recordings[2] = Pipe(call.read_bytes())
        results = dict(
            recognizer.transcribe_many(
                recordings, batch_size=batch_size, jobs=jobs, channels="split"
            )
        )
        for index in range(3):
            result = results[index]
            assert isinstance(result, Transcript)
            assert [each.text for each in result.channels] == [
                each.text for each in expected.channels
            ]
        single = results[3]
        assert isinstance(single, Transcript)
        assert [segment.speaker for segment in single.segments()] == ["Speaker 1"]


def test_a_silent_channel_has_no_words(recognizer: Recognizer, channels: list[np.ndarray]) -> None:
    silent = np.stack([channels[0], np.zeros_like(channels[0])], axis=1)
    split = recognizer.transcribe(silent, channels="split")
    assert split.channels[0].text
    assert split.channels[1].text == ""
    assert len(split.channels) == 2


def test_a_model_of_whole_utterances_splits_too(tmp_path: Path, call: Path) -> None:
    bundle = write_random_bundle(tmp_path, config=TINY_BIDIRECTIONAL)
    recognizer = Recognizer(bundle)
    split = recognizer.transcribe(call, channels="split")
    many = dict(recognizer.transcribe_many([call], channels="split"))
    for number, each in enumerate(split.channels, 1):
        assert each.text == recognizer.transcribe(call, channels=number).text
    assert many[0] == split


def test_opposite_channels_give_their_text(
    recognizer: Recognizer, channels: list[np.ndarray]
) -> None:
    inverted = np.stack([channels[0], -channels[0]], axis=1)
    expected = recognizer.transcribe(channels[0]).text
    assert recognizer.transcribe(inverted).text == expected
    stream = recognizer.stream()
    for start in range(0, len(inverted), 5000):
        stream.feed(inverted[start : start + 5000])
    assert stream.finish().text == expected


def test_merged_keeps_alternatives_of_each_channel(channels: list[np.ndarray]) -> None:
    each = Recognizer("en", lm=False, num_alternatives=1)
    split = each.transcribe(np.stack(channels, axis=1), channels="split")
    assert [len(one.alternatives) for one in split.channels] == [2, 2]
    assert merged(split.channels) == split
