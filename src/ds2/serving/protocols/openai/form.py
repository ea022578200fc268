"""Reads and checks the form that OpenAI's clients send with a recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, cast

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ds2.audio import Channels
from ds2.audio.channels import read_channels
from ds2.errors import InputError
from ds2.serving.engine.refused import Refused
from ds2.serving.protocols.openai.parameters import TurnDetection, turn_detection
from ds2.serving.wire.given_json import json_in
from ds2.serving.wire.uploads import SharedFile
from ds2.transcripts.transcript import LineShape

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("word", "segment")
MAX_FIELDS = 5000  # each keyword is a field
MAX_FIELD_BYTES = 1 << 20  # of a field that is not a file: files of any size go to disk

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")
_SHAPES = ("max_line_width", "max_line_count", "max_words_per_line")


@dataclass(frozen=True)
class TranscriptionForm:
    """The client's options for one recording."""

    file: BinaryIO
    model: str | None = None
    languages: tuple[str, ...] = ()  # any of these; none: the server chooses
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    hotwords: tuple[str, ...] = ()
    response_format: str = "json"
    granularities: frozenset[str] = frozenset({"segment"})
    logprobs: bool = False
    stream: bool = False
    chunking: Literal["auto"] | TurnDetection | None = None
    channels: Channels = "mix"
    shape: LineShape = field(default_factory=LineShape)  # of subtitles

    def __post_init__(self) -> None:
        streams = self.response_format in ("json", "text")
        if self.stream and not streams:
            told = f"stream: only text can be streamed, not {self.response_format}: ask for json"
            raise Refused(400, told, "response_format")
        if self.logprobs and self.response_format != "json":
            raise Refused(400, "include: logprobs need response_format json", "include[]")
        if "word" in self.granularities and streams:
            told = "timestamp_granularities: words need response_format verbose_json, srt or vtt"
            raise Refused(400, told, "timestamp_granularities[]")
        if self.stream and self.channels == "split":
            told = "channels: the texts of several channels are not streamed: leave out stream"
            raise Refused(400, told, "channels")


async def receive_form(request: Request) -> FormData:
    """The parts of the body. Files larger than a megabyte are on disk. Raises Refused."""
    try:
        form = await request.form(max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except HTTPException as error:
        raise Refused(error.status_code, f"cannot read the form: {error.detail}") from None
    for upload in _uploads(form):
        upload.file = cast(BinaryIO, SharedFile(upload.file))
    return form


def close_files(form: FormData) -> None:
    """Close the files of a form at once. Its own `close` could be cancelled."""
    for upload in _uploads(form):
        upload.file.close()


def _uploads(form: FormData) -> list[UploadFile]:
    return [part for _, part in form.multi_items() if isinstance(part, UploadFile)]


def read_form(form: FormData) -> TranscriptionForm:
    """The options in the parts. Unknown parameters are ignored.

    Raises Refused, which names the wrong parameter.
    """
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise Refused(400, "file: is missing: send a recording as multipart/form-data", "file")
    response_format = _text(form, "response_format") or "json"
    if response_format not in FORMATS:
        told = f'response_format: "{response_format}" is not offered; there are: '
        raise Refused(400, told + ", ".join(FORMATS), "response_format")
    granularities = frozenset(_texts(form, "timestamp_granularities"))
    _check(granularities, GRANULARITIES, "timestamp_granularities[]")
    include = _texts(form, "include")
    _check(include, ("logprobs",), "include[]")
    language = _text(form, "language")
    return TranscriptionForm(
        file=upload.file,
        model=_text(form, "model"),
        languages=(language,) if language else _texts(form, "languages"),
        prompt=_text(form, "prompt") or "",
        keywords=_texts(form, "keywords"),
        hotwords=_texts(form, "hotwords"),
        response_format=response_format,
        granularities=granularities or frozenset({"segment"}),
        logprobs=bool(include),
        stream=_flag(form, "stream"),
        chunking=_chunking(form),
        channels=_channels(form),
        shape=_shape(form, by_word="word" in granularities),
    )


def _text(form: FormData, name: str) -> str | None:
    """A field; None if it is missing or empty, because some clients send empty fields."""
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise Refused(400, f"{name}: must be text, not a file", name)
    return value.strip() or None if value else None


def _texts(form: FormData, name: str) -> tuple[str, ...]:
    """A field that may occur several times, with or without brackets after its name."""
    values = [*form.getlist(name + "[]"), *form.getlist(name)]
    if not all(isinstance(value, str) for value in values):
        raise Refused(400, f"{name}: must be text, not a file", name)
    return tuple(str(value).strip() for value in values if value)


def _check(values: Any, offered: tuple[str, ...], param: str) -> None:
    for value in values:
        if value not in offered:
            told = f'{param}: "{value}" is not offered; there are: {", ".join(offered)}'
            raise Refused(400, told, param)


def _flag(form: FormData, name: str) -> bool:
    value = (_text(form, name) or "").lower()
    if value not in _TRUE + _FALSE:
        raise Refused(400, f'{name}: must be true or false, not "{value}"', name)
    return value in _TRUE


def _chunking(form: FormData) -> Literal["auto"] | TurnDetection | None:
    """`auto`, an object as JSON, or its keys in brackets, as OpenAI's client sends it."""
    name = "chunking_strategy"
    value = _text(form, name)
    keys = {
        key.removeprefix(name + "[").removesuffix("]"): form[key]
        for key in form
        if key.startswith(name + "[")
    }
    if value is None and not keys:
        return None
    if value == "auto":
        return "auto"
    if value is not None:
        try:
            keys = json_in(value)
        except ValueError:
            keys = {}
    if not isinstance(keys, Mapping) or keys.get("type") != "server_vad":
        raise Refused(400, f'{name}: must be "auto" or an object of type server_vad', name)
    return turn_detection(keys, name)


def _channels(form: FormData) -> Channels:
    """What is heard of a recording with several channels, as `ds2 transcribe` has it."""
    value = _text(form, "channels")
    try:
        return "mix" if value is None else read_channels(value)
    except InputError as error:
        raise Refused(400, f"channels: {error}", "channels") from None


def _shape(form: FormData, *, by_word: bool) -> LineShape:
    """The lines of subtitles, from Whisper's options. OpenAI does not have these options."""
    given: dict[str, Any] = {"max_words_per_line": 1} if by_word else {}
    for name in _SHAPES:
        if (text := _text(form, name)) is not None:
            if not (text.isascii() and text.isdigit() and len(text) < 6):
                raise Refused(400, f'{name}: must be a whole number, not "{text[:20]}"', name)
            given[name] = int(text)
    try:
        return LineShape(**given, highlight_words=_flag(form, "highlight_words"))
    except InputError as error:
        raise Refused(400, str(error), str(error).split(":")[0]) from None
