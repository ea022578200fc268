"""The settings of a live session, in the two shapes that OpenAI gave them.

The present shape nests them (`audio.input.format`); that of the beta, which older clients speak,
is flat (`input_audio_format`). Both say the same.
"""

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
_FLAT_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_FLAT_KEYS = {
    "input_audio_format": "format",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
}


@dataclass(frozen=True)
class SessionSettings:
    """What a client has asked for so far."""

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
        """Of the bytes that are appended."""
        return _ENCODINGS[self.format]


def is_flat(session: Mapping[str, Any]) -> bool:
    """Whether settings come in the beta's shape."""
    return not _FLAT_KEYS.keys().isdisjoint(session)


def updated(settings: SessionSettings, session: Mapping[str, Any]) -> SessionSettings:
    """The settings after an update in either shape; what it does not name stays.

    Raises Refused, which names the key that is wrong.
    """
    if is_flat(session):
        parts = {short: session[key] for key, short in _FLAT_KEYS.items() if key in session}
        names = {short: f"session.{key}" for key, short in _FLAT_KEYS.items()}
    else:
        audio = _object(session.get("audio"), "session.audio")
        parts = dict(_object(audio.get("input"), "session.audio.input"))
        names = {short: f"session.audio.input.{short}" for short in _FLAT_KEYS.values()}
    if session.get("include") is not None:
        settings = replace(settings, logprobs=LOGPROBS in _list(session, "include", "session"))
    if parts.get("format") is not None:
        settings = _with_format(settings, parts["format"], names["format"])
    if parts.get("transcription") is not None:
        name = names["transcription"]
        settings = _with_transcription(settings, _object(parts["transcription"], name), name)
    if "turn_detection" in parts:
        name, asked = names["turn_detection"], parts["turn_detection"]
        turns = None if asked is None else turn_detection(_object(asked, name), name)
        settings = replace(settings, turns=turns)
    return settings


def _with_format(settings: SessionSettings, asked: Any, name: str) -> SessionSettings:
    if isinstance(asked, str):
        asked = {"type": _FLAT_FORMATS.get(asked, asked)}
    asked = _object(asked, name)
    kind = asked.get("type", settings.format)
    if not isinstance(kind, str) or kind not in _ENCODINGS:
        told = f"there are: {', '.join(_ENCODINGS)}, or {', '.join(_FLAT_FORMATS)} in the beta"
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
    """What the service is asked for. Raises Refused, which names the key that is wrong."""
    name = "session.audio.input.transcription"
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


def session_body(
    service: Service, settings: SessionSettings, session_id: str, *, flat: bool
) -> dict[str, Any]:
    """The settings as clients are told them: what is so, not what was asked for."""
    card = find_model(service, settings.model, settings.languages)
    transcription: dict[str, Any] = {
        "model": card.name,
        "language": card.language,
        "prompt": settings.prompt,
    }
    if settings.keywords and not flat:
        transcription["keywords"] = list(settings.keywords)
    turns = settings.turns.to_dict() if settings.turns else None
    body: dict[str, Any] = {"id": session_id, "object": "realtime.transcription_session"}
    include = [LOGPROBS] if settings.logprobs else None
    if flat:
        names = {kind: name for name, kind in _FLAT_FORMATS.items()}
        return body | {
            "modalities": ["text"],
            "input_audio_format": names[settings.format],
            "input_audio_transcription": transcription,
            "input_audio_noise_reduction": None,  # there is none: it would not help the model
            "turn_detection": turns,
            "include": include,
        }
    heard = {
        "format": {"type": settings.format, "rate": settings.sample_rate_hz},
        "transcription": transcription,
        "noise_reduction": None,
        "turn_detection": turns,
    }
    return body | {"type": "transcription", "audio": {"input": heard}, "include": include}


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
