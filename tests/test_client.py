"""The client of our own protocol, against a real server."""

import argparse
import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aids.listening import listening
from aids.models import write_random_bundle
from ds2.audio import SAMPLE_RATE_HZ, Waveform, write_wav
from ds2.cli import main
from ds2.cli.options.decoding import add_decoding
from ds2.cli.options.remote import KEY_VARIABLE, add_server, transcribe_remotely
from ds2.client import ServerError, connect, transcribe
from ds2.ctc.hypothesis import Scores
from ds2.ctc.phrases import HotPhrase
from ds2.errors import InputError
from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings
from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart
from ds2.transcripts.messages import event_from_dict, event_to_dict
from ds2.transcripts.transcript import Alternative, Transcript, Word

KEY = "correct-horse"


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(write_random_bundle(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def at(recognizer: Recognizer) -> Iterator[str]:
    with listening({"tiny": recognizer}) as place:
        yield place


def noise(num_samples: int, seed: int = 0) -> Waveform:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


async def said(at: str, waveform: Waveform, **options: object) -> list[Event]:
    """The events of a waveform, which is sent while events are read."""
    async with connect(at, **options) as stream:  # type: ignore[arg-type]
        assert (stream.model, stream.language) == ("tiny", "en")

        async def send() -> None:
            for piece in np.array_split(waveform, 7):
                await stream.send(piece)
            await stream.finish()

        sending = asyncio.create_task(send())
        events = [event async for event in stream]
        await sending
        assert stream.heard_s > 0
        return events


def test_events_are_those_of_the_recogniser(at: str, recognizer: Recognizer) -> None:
    waveform = noise(40_000)
    events = asyncio.run(said(at, waveform, endpoints=False))
    assert events[-1] == Final(recognizer.transcribe(waveform))
    assert all(isinstance(event, SpeechStart | Partial) for event in events[:-1])
    texts = [event.text for event in events if isinstance(event, Partial)]
    assert texts
    assert "".join(texts[-1].split()) in "".join(events[-1].transcript.text.split())


def test_partials_are_left_out_on_request(at: str) -> None:
    events = asyncio.run(said(at, noise(40_000), endpoints=False, partials=False))
    assert [type(event) for event in events if not isinstance(event, SpeechStart)] == [Final]


def test_a_file_is_transcribed_as_here(at: str, recognizer: Recognizer, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", noise(3 * SAMPLE_RATE_HZ))
    there = asyncio.run(transcribe(f"http://{at}", tmp_path / "a.wav"))
    assert there == recognizer.transcribe(tmp_path / "a.wav")


def test_channels_are_heard_apart_as_here(at: str, recognizer: Recognizer, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    frames = np.stack([noise(3 * SAMPLE_RATE_HZ), noise(3 * SAMPLE_RATE_HZ, 1)], axis=1)
    soundfile.write(path, frames, SAMPLE_RATE_HZ, subtype="FLOAT")
    for channels in ("split", "mix", 2):
        there = asyncio.run(transcribe(f"http://{at}", path, channels=channels))  # type: ignore[arg-type]
        assert there == recognizer.transcribe(path, channels=channels)  # type: ignore[arg-type]


def test_a_stream_of_two_channels_tells_whose_an_event_is(at: str) -> None:
    async def channels_told() -> set[int | None]:
        async with connect(f"http://{at}", num_channels=2) as stream:
            with pytest.raises(InputError, match="have 1 channels, but the stream has 2"):
                await stream.send(noise(100))
            await stream.send(np.stack([noise(48_000), noise(48_000, 1)], axis=1))
            await stream.finish()
            return {stream.channel async for _ in stream}

    assert asyncio.run(channels_told()) == {1, 2}


def test_alternatives_and_hot_phrases_are_passed_on(at: str, recognizer: Recognizer) -> None:
    del recognizer
    waveform = noise(20_000)
    phrases = [HotPhrase("abc", 30.0)]
    [final] = [
        event
        for event in asyncio.run(
            said(at, waveform, endpoints=False, phrases=phrases, num_alternatives=2)
        )
        if isinstance(event, Final)
    ]
    assert len(final.transcript.alternatives) == 3


@pytest.mark.parametrize(
    "event",
    [
        SpeechStart(1.25),
        Partial("all of ", "thi"),
        Endpoint(3.5, "pause"),
        Final(
            Transcript(
                (Word("你", 0.1, 0.2, 0.75),),
                1.5,
                "zh",
                (Alternative("你", Scores(-1.0, -2.0, 0.5, 0.0)),),
            )
        ),
    ],
)
def test_messages_hold_all_that_events_hold(event: Event) -> None:
    assert event_from_dict(event_to_dict(event, 2.0)) == event


async def failed(url: str, **options: object) -> ServerError:
    async def read() -> None:
        async with connect(url, **options) as stream:  # type: ignore[arg-type]
            async for _ in stream:
                pass

    with pytest.raises(ServerError) as caught:
        await read()
    return caught.value


def test_errors_tell_what_the_server_says(at: str) -> None:
    error = asyncio.run(failed(at, model="nope"))
    assert (error.status, str(error)) == (404, 'no model "nope": there are tiny')
    error = asyncio.run(failed(f"http://{at}/nowhere"))
    assert error.status is not None


def test_errors_tell_that_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        error = asyncio.run(failed(f"127.0.0.1:{taken.getsockname()[1]}"))
    assert "cannot be reached" in str(error)
    assert "is not the URL of a server" in str(asyncio.run(failed("ftp://x")))


def test_a_key_is_sent(recognizer: Recognizer) -> None:
    with listening({"tiny": recognizer}, ServeSettings(api_keys=(KEY,))) as at:
        error = asyncio.run(failed(at))
        assert error.status == 401
        assert "a valid API key is needed" in str(error)
        assert asyncio.run(said(at, noise(20_000), api_key=KEY))


def test_a_server_that_goes_is_told(recognizer: Recognizer) -> None:
    async def left_alone() -> None:
        async with connect(at) as stream:
            await stream.send(noise(20_000))
            await asyncio.to_thread(server.__exit__, None, None, None)
            with pytest.raises(ServerError, match="shutting down"):
                async for _ in stream:
                    pass

    server = listening({"tiny": recognizer})
    at = server.__enter__()
    asyncio.run(left_alone())


def arguments(at: str, *options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", "--model")
    parser.add_argument("--alternatives", type=int, default=1)
    parser.add_argument("--raw")
    add_server(parser)
    add_decoding(parser)
    return parser.parse_args(["--server", at, *options])


def test_the_command_goes_on_after_a_recording_that_cannot_be_read(
    at: str, recognizer: Recognizer, tmp_path: Path
) -> None:
    write_wav(tmp_path / "a.wav", noise(30_000))
    (tmp_path / "b.wav").write_bytes(b"no sound")
    names = [str(tmp_path / name) for name in ("a.wav", "b.wav", "a.wav")]
    results = dict(transcribe_remotely(names, arguments(at)))
    assert results[0] == results[2] == recognizer.transcribe(tmp_path / "a.wav")
    assert isinstance(results[1], InputError)
    assert "not a recording that ds2 can read" in str(results[1])


def test_ds2_transcribe_writes_the_same_with_a_server(
    at: str, recognizer: Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "a.wav", noise(50_000))
    (tmp_path / "b.wav").write_bytes(b"no sound")
    options = ["transcribe", "-f", "json", str(tmp_path / "a.wav")]
    written = []
    for where in (["-m", str(recognizer.bundle.path)], ["--server", f"http://{at}"]):
        assert main([*options, *where]) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1]
    assert main(["transcribe", str(tmp_path), "--server", at]) == 2
    output = capsys.readouterr()
    assert "not a recording that ds2 can read" in output.err
    assert output.out.startswith(str(tmp_path / "a.wav"))


def test_the_command_tells_in_a_line_what_the_server_refuses(
    at: str, recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "a.wav", noise(30_000))
    names = [str(tmp_path / "a.wav")]
    with pytest.raises(InputError, match='--server: no model "x": there are tiny'):
        list(transcribe_remotely(names, arguments(at, "-m", "x")))
    with pytest.raises(InputError, match="leave out --beam-width"):
        list(transcribe_remotely(names, arguments(at, "--beam-width", "5")))
    with listening({"tiny": recognizer}, ServeSettings(api_keys=(KEY,))) as locked:
        monkeypatch.setenv(KEY_VARIABLE, KEY)
        [(_, transcript)] = transcribe_remotely(names, arguments(locked))
    assert transcript == recognizer.transcribe(tmp_path / "a.wav")
