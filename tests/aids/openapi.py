"""The server's HTTP interface in OpenAPI 3.0, from which tests make requests."""

from typing import Any

ANSWER = {"default": {"description": "an answer, or an error in JSON"}}


def _text(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)} if values else {"type": "string"}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "maxItems": 3}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _query(name: str, kind: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": kind}


WHOLE, NUMBER, CLAIM = {"type": "integer"}, {"type": "number"}, {"type": "boolean"}
BYTES = {"type": "string", "format": "binary"}

FORM = _object(
    file=BYTES,
    model=_text("tiny", "whisper-1", "none"),
    language=_text("en", "en-US", "zh", ""),
    prompt=_text(),
    hotwords=_text(),
    response_format=_text("json", "text", "srt", "verbose_json", "vtt", "tsv"),
    temperature=NUMBER,
    stream=CLAIM,
    chunking_strategy=_text(
        "auto", "{}", '{"type": "server_vad"}', '{"type": "server_vad", "threshold": 9}'
    ),
    max_line_width=WHOLE,
    max_line_count=WHOLE,
    max_words_per_line=WHOLE,
    highlight_words=CLAIM,
) | {"required": ["file"]}

TURNS = _object(
    type=_text("server_vad", "semantic_vad", "none"),
    threshold=NUMBER,
    prefix_padding_ms=WHOLE,
    silence_duration_ms=WHOLE,
    eagerness=_text("low", "auto", "never"),
)
TRANSCRIPTION = _object(
    model=_text("tiny", "gpt-4o-transcribe"),
    language=_text("en", "zh"),
    prompt=_text(),
    keywords=_list(_text()),
)
SESSION = _object(
    type=_text("transcription"),
    audio=_object(
        input=_object(
            format=_object(type=_text("audio/pcm", "audio/pcmu", "audio/mp3"), rate=WHOLE),
            transcription=TRANSCRIPTION,
            turn_detection=TURNS,
        )
    ),
    include=_list(_text("item.input_audio_transcription.logprobs")),
)
SECRET = _object(session=SESSION, expires_after=_object(anchor=_text(), seconds=WHOLE))

LISTEN = [
    _query("model", _text("tiny", "nova-3", "none")),
    _query("language", _text("en", "zh", "multi")),
    _query("encoding", _text("linear16", "mulaw", "alaw", "opus")),
    _query("sample_rate", WHOLE),
    _query("channels", WHOLE),
    _query("alternatives", WHOLE),
    _query("endpointing", _text("true", "false", "10", "99999999999")),
    _query("utterance_end_ms", WHOLE),
    _query("utterances", CLAIM),
    _query("keywords", _list(_text("hello:2", "hello:-9999", "a", "日", ":", "::1"))),
    _query("keyterm", _list(_text())),
    _query("callback", _text("http://localhost/")),
]


def _get(*parameters: dict[str, Any]) -> dict[str, Any]:
    return {"get": {"parameters": list(parameters), "responses": ANSWER}}


def _post(media_type: str, kind: dict[str, Any], parameters: Any = ()) -> dict[str, Any]:
    body = {"required": True, "content": {media_type: {"schema": kind}}}
    return {"post": {"parameters": list(parameters), "requestBody": body, "responses": ANSWER}}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _text()}


DESCRIPTION: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "ds2 serve", "version": "1"},
    "paths": {
        "/": _get(),
        "/health": _get(),
        "/ready": _get(),
        "/metrics": _get(),
        "/page/server.json": _get(),
        "/page/{name}": _get(_in_path("name")),
        "/v1/models": _get(),
        "/v1/models/{name}": _get(_in_path("name")),
        "/v1/audio/transcriptions": _post("multipart/form-data", FORM),
        "/v1/listen": _post("application/octet-stream", BYTES, LISTEN),
        "/v1/realtime/client_secrets": _post("application/json", SECRET),
    },
}
