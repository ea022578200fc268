"""The settings of a live session, in the form of OpenAI's clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ds2.audio.pcm import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from ds2.audio.samples import Encoding
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import Service
from ds2.serving.engine.session import StreamOptions
from ds2.serving.protocols.openai.parameters import (
    TurnDetection,
    find_model,
    hot_phrases,
    turn_detection,
)

PCM_RATE_HZ = 24_000
TELEPHONE_RATE_HZ = 8_000
LOGPROBS = "item.input_audio_transcription.logprobs"
LONGEST_TEXT = 100_000  # characters of a prompt

_ENCODINGS: Mapping[str, Encoding] = {
    "audio/pcm": "s16le",
    "audio/pcmu": "mulaw",
    "audio/pcma": "alaw",
}
_INPUT = "session.audio.input"
_BETA_KEYS = ("input_audio_format", "input_audio_transcription", "turn_detection")
"""Keys of OpenAI's beta beside `audio`. The server refuses them: ignored settings do harm."""


@dataclass(frozen=True)
class SessionSettings:
    """The settings that a client has asked for so far."""

    format: str = "audio/pcm"
    sample_rate_hz: int = PCM_RATE_HZ
    model: str | None = None
    languages: tuple[str, ...] = ()  # any of these; none: the server chooses
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    turns: TurnDetection | None = field(default_factory=TurnDetection)  # None: the client commits
    logprobs: bool = False

    @property
    def encoding(self) -> Encoding:
        """The encoding of the audio that the client appends."""
        return _ENCODINGS[self.format]


def updated(settings: SessionSettings, session: Mapping[str, Any]) -> SessionSettings:
    """The settings after an update. Settings that the update does not name stay.

    Raises Refused, which names the wrong key.
    """
    for key in _BETA_KEYS:
        if key in session:
            place = key.removeprefix("input_audio_")
            told = f"{key}: belongs to the beta, which has ended: use audio.input.{place}"
            raise Refused(400, told, f"session.{key}")
    audio = _object(session.get("audio"), "session.audio")
    parts = _object(audio.get("input"), _INPUT)
    if session.get("include") is not None:
        settings = replace(settings, logprobs=LOGPROBS in _list(session, "include", "session"))
    if parts.get("format") is not None:
        settings = _with_format(settings, parts["format"], f"{_INPUT}.format")
    if parts.get("transcription") is not None:
        name = f"{_INPUT}.transcription"
        settings = _with_transcription(settings, _object(parts["transcription"], name), name)
    if "turn_detection" in parts:
        name, asked = f"{_INPUT}.turn_detection", parts["turn_detection"]
        turns = None if asked is None else turn_detection(_object(asked, name), name)
        settings = replace(settings, turns=turns)
    return settings


def _with_format(settings: SessionSettings, asked: Any, name: str) -> SessionSettings:
    asked = _object(asked, name)
    kind = asked.get("type", settings.format)
    if not isinstance(kind, str) or kind not in _ENCODINGS:
        told = f"there are: {', '.join(_ENCODINGS)}"
        raise Refused(400, f'the audio format "{kind}" is not offered; {told}', f"{name}.type")
    usual = PCM_RATE_HZ if kind == "audio/pcm" else TELEPHONE_RATE_HZ
    rate = asked.get("rate") or usual
    if not isinstance(rate, int) or not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        told = f"rate: must be a whole number from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
        raise Refused(400, told, f"{name}.rate")
    return replace(settings, format=kind, sample_rate_hz=rate)


def _with_transcription(
    settings: SessionSettings, asked: Mapping[str, Any], name: str
) -> SessionSettings:
    changes: dict[str, Any] = {}
    if asked.get("model"):
        changes["model"] = _string(asked, "model", name)
    if asked.get("language"):
        changes["languages"] = (_string(asked, "language", name),)
    elif "languages" in asked:
        changes["languages"] = _list(asked, "languages", name)
    if "prompt" in asked:
        changes["prompt"] = _string(asked, "prompt", name)
    if "keywords" in asked:
        changes["keywords"] = _list(asked, "keywords", name)
    return replace(settings, **changes)


def stream_options(service: Service, settings: SessionSettings) -> StreamOptions:
    """The options of the stream for the service. Raises Refused, which names the wrong key."""
    name = f"{_INPUT}.transcription"
    try:
        card = find_model(service, settings.model, settings.languages)
        phrases = hot_phrases(
            card.bundle.alphabet, keywords=settings.keywords, prompt=settings.prompt
        )
    except Refused as error:
        raise Refused(error.status, error.message, f"{name}.{error.param}") from None
    finds_turns = settings.turns is not None and card.bundle.model.streaming
    return StreamOptions(
        model=card.name,
        sample_rate_hz=settings.sample_rate_hz,
        endpoints=settings.turns.rules if settings.turns and finds_turns else None,
        phrases=phrases,
    )


def session_body(service: Service, settings: SessionSettings, session_id: str) -> dict[str, Any]:
    """The settings for messages to clients: the real ones, not the requested ones."""
    card = find_model(service, settings.model, settings.languages)
    transcription: dict[str, Any] = {
        "model": card.name,
        "language": card.language,
        "prompt": settings.prompt,
    }
    if settings.keywords:
        transcription["keywords"] = list(settings.keywords)
    heard = {
        "format": {"type": settings.format, "rate": settings.sample_rate_hz},
        "transcription": transcription,
        "noise_reduction": None,  # the server has none: it would not help the model
        "turn_detection": settings.turns.to_dict() if settings.turns else None,
    }
    return {
        "id": session_id,
        "object": "realtime.transcription_session",
        "type": "transcription",
        "audio": {"input": heard},
        "include": [LOGPROBS] if settings.logprobs else None,
    }


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Refused(400, f"{name.rpartition('.')[2]}: must be an object", name)
    return value


def _string(data: Mapping[str, Any], key: str, name: str) -> str:
    value = data[key] if data[key] is not None else ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise Refused(400, f"{key}: must be text, and not too long", f"{name}.{key}")
    return value


def _list(data: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
    value = data[key] if data[key] is not None else ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise Refused(400, f"{key}: must be a list of texts", f"{name}.{key}")
    return tuple(value)
