"""OpenAI's HTTP interface, with OpenAI's own client and a real server."""

import asyncio
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.listening import listening
from aids.models import write_random_bundle
from ds2 import Recognizer, Transcript, read_audio
from ds2.ctc.phrases import HotPhrase
from ds2.serving.config import ServeSettings
from ds2.serving.protocols.openai.answers import logprobs_of
from ds2.serving.protocols.openai.parameters import hot_phrases
from ds2.transcripts.transcript import WRITERS, LineShape

SAMPLE = Path(__file__).parents[3] / "samples" / "en-1.ogg"
LIMIT_BYTES = 4 << 20
SEGMENT_KEYS = {
    *("id", "seek", "start", "end", "text", "tokens", "temperature"),
    *("avg_logprob", "compression_ratio", "no_speech_prob"),
}


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recognizer]:
    """The shipped English model, and a random one that stands for Mandarin."""
    mandarin = write_random_bundle(tmp_path_factory.mktemp("zh"), language="zh")
    return {"en": Recognizer.load("en"), "zh": Recognizer(mandarin)}


@pytest.fixture(scope="module")
def address(recognizers: dict[str, Recognizer]) -> Iterator[str]:
    with listening(recognizers, ServeSettings(max_upload_bytes=LIMIT_BYTES)) as at:
        yield at


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def said(recognizers: dict[str, Recognizer]) -> Transcript:
    """The text of `ds2 transcribe` for the sample."""
    return recognizers["en"].transcribe(SAMPLE)


def noise(duration_s: float) -> bytes:
    """A WAV file of noise."""
    file = io.BytesIO()
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(16_000 * duration_s))
    soundfile.write(file, samples.astype(np.float32), 16_000, format="WAV")
    return file.getvalue()


def test_json_is_the_text_of_ds2_transcribe(client: openai.OpenAI, said: Transcript) -> None:
    answer = client.audio.transcriptions.create(file=SAMPLE, model="en")
    assert answer.text == said.text
    assert said.text
    assert answer.usage is not None
    assert answer.usage.to_dict() == {"type": "duration", "seconds": round(said.duration_s, 3)}


def test_text_and_subtitles_are_those_of_the_writers(
    client: openai.OpenAI, said: Transcript
) -> None:
    create = client.audio.transcriptions.create
    assert create(file=SAMPLE, model="en", response_format="text") == said.text + "\n"
    for kind in ("srt", "vtt"):
        subtitles: Any = create(file=SAMPLE, model="en", response_format=kind)
        assert subtitles == WRITERS[kind](said, LineShape())


def test_subtitles_by_the_word_and_lines_as_whisper_shapes_them(
    client: openai.OpenAI, said: Transcript
) -> None:
    create = client.audio.transcriptions.create
    by_word: Any = create(
        file=SAMPLE, model="en", response_format="srt", timestamp_granularities=["word"]
    )
    assert by_word.count("-->") == len(said.words)
    shaped: Any = create(
        file=SAMPLE, model="en", response_format="vtt", extra_body={"max_line_width": 12}
    )
    assert shaped == WRITERS["vtt"](said, LineShape(max_line_width=12))


def test_verbose_json_has_every_key_that_clients_read(
    client: openai.OpenAI, said: Transcript, recognizers: dict[str, Recognizer]
) -> None:
    answer = client.audio.transcriptions.create(
        file=SAMPLE,
        model="en",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    body = answer.to_dict()
    assert (body["task"], body["language"], body["text"]) == ("transcribe", "english", said.text)
    assert answer.duration == pytest.approx(said.duration_s, abs=1e-3)
    assert [(word.word, word.start, word.end) for word in answer.words or ()] == [
        (word.text, word.start_s, word.end_s) for word in said.words
    ]
    assert answer.segments
    for told, segment in zip(answer.segments, said.segments(), strict=True):
        assert set(told.to_dict()) == SEGMENT_KEYS
        assert (told.text, told.start, told.end) == (segment.text, segment.start_s, segment.end_s)
        assert recognizers["en"].bundle.alphabet.decode(told.tokens) == segment.text
        lowest, highest = min(w.confidence for w in segment.words), 1
        assert np.log(lowest) - 1e-4 <= told.avg_logprob <= np.log(highest)


@pytest.mark.parametrize(
    ("asked", "has_words", "has_segments"),
    [
        ([], False, True),
        (["segment"], False, True),
        (["word"], True, False),
        (["segment", "word"], True, True),
    ],
)
def test_granularities_say_what_verbose_json_holds(
    client: openai.OpenAI, asked: list[Any], has_words: bool, has_segments: bool
) -> None:
    answer = client.audio.transcriptions.create(
        file=("a.wav", noise(1.0)),
        model="en",
        response_format="verbose_json",
        timestamp_granularities=asked,
    )
    assert (answer.words is not None, answer.segments is not None) == (has_words, has_segments)


def test_logprobs_are_of_tokens_that_make_up_the_text(
    client: openai.OpenAI, said: Transcript
) -> None:
    answer = client.audio.transcriptions.create(file=SAMPLE, model="en", include=["logprobs"])
    assert answer.logprobs
    assert "".join(each.token or "" for each in answer.logprobs) == said.text
    assert [bytes(map(int, each.bytes or ())).decode() for each in answer.logprobs] == [
        each.token for each in answer.logprobs
    ]
    assert [each.logprob for each in answer.logprobs] == pytest.approx(
        [np.log(word.confidence) for word in said.words], abs=1e-4
    )


def test_events_bring_the_text_as_it_grows(client: openai.OpenAI, said: Transcript) -> None:
    with client.audio.transcriptions.create(
        file=SAMPLE, model="en", stream=True, include=["logprobs"]
    ) as stream:
        events = list(stream)
    *deltas, done = events
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas) == done.text == said.text
    assert done.type == "transcript.text.done"
    assert [each.to_dict() for each in done.logprobs] == logprobs_of(said)


@pytest.mark.slow
def test_what_is_found_wrong_late_ends_the_events(client: openai.OpenAI) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.tile(read_audio(SAMPLE), 20), 16_000, format="FLAC")
    cut_off = file.getvalue()[: 3 * len(file.getvalue()) // 4]
    events: list[Any] = []
    with (
        client.audio.transcriptions.create(
            file=("a.flac", cut_off), model="en", stream=True
        ) as stream,
        pytest.raises(openai.APIError, match="truncated"),
    ):
        events.extend(stream)
    assert "transcript.text.delta" in {event.type for event in events}


def test_the_asynchronous_client_may_ask_for_much_at_once(address: str, said: Transcript) -> None:
    async def ask() -> list[str]:
        base_url = f"http://{address}/v1"
        async with openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client:

            async def whole() -> str:
                answer = await client.audio.transcriptions.create(file=SAMPLE, model="whisper-1")
                return answer.text

            async def streamed() -> str:
                deltas = []
                events = await client.audio.transcriptions.create(
                    file=SAMPLE, model="gpt-4o-mini-transcribe", stream=True
                )
                async for event in events:
                    if event.type == "transcript.text.delta":
                        deltas.append(event.delta)
                return "".join(deltas)

            return await asyncio.gather(whole(), streamed(), whole(), streamed())

    assert asyncio.run(ask()) == [said.text] * 4


def test_chunks_between_pauses_make_up_one_text(client: openai.OpenAI, said: Transcript) -> None:
    strategy: Any = {"type": "server_vad", "silence_duration_ms": 200, "threshold": 0.5}
    create = client.audio.transcriptions.create
    for chunking in ("auto", strategy):
        whole = create(file=SAMPLE, model="en", chunking_strategy=chunking)
        *deltas, done = create(file=SAMPLE, model="en", chunking_strategy=chunking, stream=True)
        assert "".join(event.delta for event in deltas) == done.text == whole.text
        # Decoding begins again after a pause, and that may change a word beside it.
        assert abs(len(whole.text.split()) - len(said.words)) <= 2


def test_keywords_prompt_and_hotwords_are_hot_phrases(
    client: openai.OpenAI, recognizers: dict[str, Recognizer]
) -> None:
    bundle = recognizers["en"].bundle
    heard = Recognizer(bundle, phrases=[HotPhrase("ladder"), HotPhrase("an old one")])
    create = client.audio.transcriptions.create
    expected = heard.transcribe(SAMPLE).text
    keywords = ["ladder", "an old one"]
    assert create(file=SAMPLE, model="en", keywords=keywords).text == expected
    prompt = "Ladder, an old one! And much else that nobody would take for a name in a list."
    assert create(file=SAMPLE, model="en", prompt=prompt).text == expected
    hotwords = {"hotwords": "ladder, an old one:5"}
    assert create(file=SAMPLE, model="en", extra_body=hotwords).text == expected
    *deltas, done = create(file=SAMPLE, model="en", keywords=keywords, stream=True)
    assert "".join(event.delta for event in deltas) == done.text == expected


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with something else on each of two channels."""
    path = tmp_path_factory.mktemp("calls") / "call.wav"
    samples = 0.1 * np.random.default_rng(1).standard_normal((48_000, 2))
    soundfile.write(path, samples.astype(np.float32), 16_000)
    return path


def test_channels_are_heard_apart(
    client: openai.OpenAI, recognizers: dict[str, Recognizer], call: Path
) -> None:
    expected = recognizers["zh"].transcribe(call, channels="split")
    texts = [{"channel": 1 + i, "text": each.text} for i, each in enumerate(expected.channels)]
    assert len({each["text"] for each in texts}) == 2
    create = client.audio.transcriptions.create
    asked: Any = {"file": call, "model": "zh", "extra_body": {"channels": "split"}}
    plain = create(**asked).to_dict()
    assert (plain["text"], plain["channels"]) == (expected.text, texts)
    logprobs = create(**asked, include=["logprobs"]).logprobs or ()
    assert "".join(each.token or "" for each in logprobs) == expected.text
    for kind, written in (("text", "txt"), ("srt", "srt"), ("vtt", "vtt")):
        told: Any = create(**asked, response_format=kind)
        assert told == WRITERS[written](expected, LineShape())
        assert "Speaker 2" in told
    granularities = ["word", "segment"]
    verbose = create(
        **asked, response_format="verbose_json", timestamp_granularities=granularities
    ).to_dict()
    assert verbose["channels"] == texts
    assert verbose["duration"] == 3.0
    segments = expected.segments()
    assert [(each["speaker"], each["channel"], each["text"]) for each in verbose["segments"]] == [
        (segment.speaker, segment.channel, segment.text) for segment in segments
    ]
    assert [(each["speaker"], each["word"]) for each in verbose["words"]] == [
        (segment.speaker, word.text) for segment in segments for word in segment.words
    ]


@pytest.mark.parametrize("channels", ["mix", 1, 2])
def test_one_text_is_of_the_mix_or_of_one_channel(
    client: openai.OpenAI, recognizers: dict[str, Recognizer], call: Path, channels: Any
) -> None:
    expected = recognizers["zh"].transcribe(call, channels=channels).text
    create = client.audio.transcriptions.create
    asked: Any = {"file": call, "model": "zh", "extra_body": {"channels": str(channels)}}
    answer = create(**asked).to_dict()
    assert answer["text"] == expected
    assert "channels" not in answer
    *_, done = create(**asked, stream=True)
    assert done.text == expected


def test_phrases_are_read_from_what_people_write(recognizers: dict[str, Recognizer]) -> None:
    alphabet = recognizers["en"].bundle.alphabet
    found = hot_phrases(
        alphabet,
        keywords=["Deep Speech", "deep  speech", " "],
        hotwords=["Baidu:7.5,Warp", "CTC:-3"],
        prompt="DeepSpeech; 北京. deep speech",
    )
    assert [(each.text, each.weight) for each in found] == [
        *[("Deep Speech", 5.0), ("Baidu", 7.5), ("Warp", 5.0), ("CTC", -3.0), ("DeepSpeech", 5.0)]
    ]


@pytest.mark.parametrize(
    ("asked", "status", "param", "told"),
    [
        ({"response_format": "xml"}, 400, "response_format", "verbose_json"),
        ({"response_format": "diarized_json"}, 400, "response_format", "not offered"),
        ({"model": "large"}, 404, "model", '"en" (en), "zh" (zh)'),
        ({"language": "de"}, 400, "language", '"en" (en), "zh" (zh)'),
        ({"model": "zh", "language": "en"}, 400, "language", '"zh" (zh)'),
        ({"timestamp_granularities": ["word"]}, 400, "timestamp_granularities[]", "verbose_json"),
        ({"timestamp_granularities": ["letter"]}, 400, "timestamp_granularities[]", "segment"),
        ({"include": ["logits"]}, 400, "include[]", "logprobs"),
        ({"include": ["logprobs"], "response_format": "text"}, 400, "include[]", "json"),
        ({"stream": True, "response_format": "srt"}, 400, "response_format", "json"),
        ({"keywords": ["北京"]}, 400, "keywords", "cannot spell"),
        ({"chunking_strategy": {"type": "vad"}}, 400, "chunking_strategy", "server_vad"),
        (
            {"chunking_strategy": {"type": "server_vad", "silence_duration_ms": -1}},
            400,
            "chunking_strategy.silence_duration_ms",
            "from 100",
        ),
        ({"extra_body": {"max_line_width": "wide"}}, 400, "max_line_width", "whole number"),
        ({"extra_body": {"max_line_count": 2}}, 400, "max_line_count", "max_line_width"),
        ({"extra_body": {"channels": "0"}}, 400, "channels", "a number from 1 on"),
        ({"extra_body": {"channels": "left"}}, 400, "channels", "mix, split"),
        ({"extra_body": {"channels": "3"}}, 400, "file", "there is no channel 3"),
        (
            {"extra_body": {"channels": "split"}, "stream": True},
            400,
            "channels",
            "leave out stream",
        ),
        ({"file": ("a.mp3", b"no music")}, 400, "file", "cannot be read|not a recording"),
        ({"file": ("a.wav", b"")}, 400, "file", "empty"),
        ({"file": ("a.mp3", b"no music"), "stream": True}, 400, "file", "not a recording"),
        ({"file": ("a.wav", bytes(LIMIT_BYTES))}, 413, None, "larger than"),
    ],
)
def test_what_cannot_be_done_is_told_as_openai_tells_it(
    client: openai.OpenAI, asked: dict[str, Any], status: int, param: str | None, told: str
) -> None:
    parameters = {"file": ("a.wav", noise(0.5)), "model": "en"} | asked
    with pytest.raises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(**parameters)
    error = caught.value
    assert (error.status_code, error.param) == (status, param)
    assert any(each in error.message for each in told.split("|"))
    assert error.type == "invalid_request_error"
    assert error.code == ("model_not_found" if status == 404 else None)


def test_parameters_that_do_nothing_here_do_no_harm(
    client: openai.OpenAI, said: Transcript
) -> None:
    answer = client.audio.transcriptions.create(
        file=SAMPLE,
        model="",
        language="",
        temperature=0.7,
        extra_body={"without_timestamps": "true", "vad_filter": "x"},
    )
    assert answer.text == said.text


@pytest.mark.parametrize("language", ["zh", "zh-CN", "Chinese", "cmn"])
def test_a_language_chooses_the_model(
    client: openai.OpenAI, recognizers: dict[str, Recognizer], language: str
) -> None:
    answer = client.audio.transcriptions.create(
        file=SAMPLE, model="whisper-1", language=language, response_format="verbose_json"
    )
    assert (answer.language, answer.text) == ("chinese", recognizers["zh"].transcribe(SAMPLE).text)


def test_a_recording_larger_than_memory_spares_for_it_comes_through(
    client: openai.OpenAI, recognizers: dict[str, Recognizer], tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(noise(60.0))  # 1.9 MB: received on disk
    answer = client.audio.transcriptions.create(file=path, model="zh")
    assert answer.text == recognizers["zh"].transcribe(path).text


def test_a_recording_that_lasts_too_long_is_refused(recognizers: dict[str, Recognizer]) -> None:
    with (
        listening(recognizers, ServeSettings(max_upload_s=1.0)) as at,
        openai.OpenAI(base_url=f"http://{at}/v1", api_key="any") as client,
    ):
        for stream in (False, True):
            asked: dict[str, Any] = {"file": ("a.wav", noise(3.0)), "stream": stream}
            with pytest.raises(openai.APIStatusError, match="over 1 s") as caught:
                client.audio.transcriptions.create(model="en", **asked)
            assert caught.value.status_code == 413


def test_models_can_be_listed_and_looked_up(client: openai.OpenAI) -> None:
    listed = client.models.list()
    assert [(model.id, model.object, model.owned_by) for model in listed] == [
        ("en", "model", "ds2"),
        ("zh", "model", "ds2"),
    ]
    assert client.models.retrieve("zh") == listed.data[1]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_goes_away_frees_its_place(address: str, streamed: bool) -> None:
    file = io.BytesIO()  # an hour of silence is a small file, but its work takes time
    soundfile.write(file, np.zeros(3600 * 8000, np.int16), 8000, format="FLAC")
    data = {"model": "zh", "stream": str(streamed).lower()}
    url = f"http://{address}/v1/audio/transcriptions"
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, data=data, files={"file": file.getvalue()}, timeout=0.5)
    deadline_s = time.monotonic() + 10
    while httpx.get(f"http://{address}/health").json()["streams"]:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


FIELDS = st.dictionaries(
    st.sampled_from(
        [
            *("model", "language", "languages[]", "prompt", "response_format", "temperature"),
            *("stream", "timestamp_granularities[]", "include[]", "keywords[]", "hotwords"),
            *("chunking_strategy", "chunking_strategy[type]", "chunking_strategy[threshold]"),
            *("max_line_width", "highlight_words", "file", "chunking_strategy[", "unknown"),
            "channels",
        ]
    ),
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(["en", "zh", "true", "auto", "server_vad", "verbose_json", "srt", "word"]),
        st.sampled_from(["1", "-1", "1e999", "nan", "²", "{}", "[]", '{"type": "server_vad"}']),
        st.sampled_from(["split", "mix"]),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(fields=FIELDS, audio=st.sampled_from([None, b"", b"RIFF", noise(0.2)]))
@settings(max_examples=60, deadline=None)
def test_no_form_makes_the_server_fail(
    address: str, fields: dict[str, str], audio: bytes | None
) -> None:
    parts: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
    if audio is not None:
        parts["file"] = ("a.wav", audio)
    answer = httpx.post(f"http://{address}/v1/audio/transcriptions", files=parts)
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (b"--x\r\nrubbish", "multipart/form-data; boundary=x"),
        (b"file=a", "application/x-www-form-urlencoded"),
    ],
)
def test_what_is_no_form_is_refused(address: str, content: bytes, kind: str) -> None:
    url = f"http://{address}/v1/audio/transcriptions"
    answer = httpx.post(url, content=content, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
