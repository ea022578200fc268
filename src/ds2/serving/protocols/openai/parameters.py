"""The meaning of OpenAI's parameters in this server, for requests and live sessions."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ds2.ctc.phrases import HotPhrase, spelt_phrases
from ds2.errors import InputError
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import ModelCard, Service
from ds2.text.alphabet import Alphabet
from ds2.text.language import language_of_name

MAX_PHRASES = 1000
"""Most phrases of a request. Further phrases from a prompt are left out."""
LONGEST_HINT = 24
"""Most characters of a hint in a prompt. A longer piece is a sentence, not a name."""

_OPENAI_MODELS = re.compile(r"(gpt|whisper)-[\w.-]+")
_BREAKS = re.compile(r"[,;:.!?\n\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f]")
_WEIGHED = re.compile(r"(.+):(-?\d{1,3}(?:\.\d+)?)")


def find_model(service: Service, name: str | None, languages: Sequence[str]) -> ModelCard:
    """The model with this name, or the first model for one of the languages.

    name: the name of a model of this server. OpenAI's own names count as no name, because many
    programs send them to any server.
    languages: codes, with or without a country, or OpenAI's English names; none: any.
    Raises Refused, which names the models of this server.
    """
    codes = {code for language in languages if (code := _language_code(language))}
    cards = list(service.models.values())
    there = ", ".join(f'"{card.name}" ({card.language})' for card in cards)
    if name and (name in service.models or not _OPENAI_MODELS.fullmatch(name)):
        cards = [card for card in cards if card.name == name]
        if not cards:
            told = f'the model "{name[:100]}" is not served here; there are: {there}'
            raise Refused(404, told, "model")
    for card in cards:
        if not codes or card.language in codes:
            return card
    asked = " or ".join(f'"{language[:20]}"' for language in languages[:5])
    raise Refused(400, f"no such model for the language {asked}; there are: {there}", "language")


def _language_code(language: str | None) -> str | None:
    """ "en" for "en", "en-US" and "English"; None for "" and "auto": the server chooses."""
    name = (language or "").strip()
    if name.lower() in ("", "auto"):
        return None
    return language_of_name(name) or name  # unknown: no model has it


def hot_phrases(
    alphabet: Alphabet,
    *,
    keywords: Sequence[str] = (),
    hotwords: Sequence[str] = (),
    prompt: str = "",
) -> tuple[HotPhrase, ...]:
    """The hot phrases of a request.

    keywords: words or phrases; hotwords: the same, separated by commas, with an optional weight as
    "phrase:weight"; prompt: a text whose short pieces between punctuation marks become phrases if
    the model can spell them.
    Raises Refused for keywords and hotwords that the model cannot spell.
    """
    found: dict[str, HotPhrase] = {}
    for param, phrases in (
        ("keywords", map(HotPhrase, keywords)),
        ("hotwords", _weighed(hotwords)),
    ):
        for phrase in phrases:
            if not phrase.text.strip():
                continue
            try:
                found.setdefault(_spelt(phrase, alphabet), phrase)
            except InputError as error:
                raise Refused(400, str(error), param) from None
            if len(found) > MAX_PHRASES:
                raise Refused(400, f"more than {MAX_PHRASES} phrases: leave some out", param)
    for hint in _hints(prompt):
        if len(found) == MAX_PHRASES:
            break
        try:
            found.setdefault(_spelt(hint, alphabet), hint)
        except InputError:
            continue  # a prompt is prose: the model need not spell all of it
    return tuple(found.values())


def _weighed(hotwords: Iterable[str]) -> Iterable[HotPhrase]:
    for text in (piece.strip() for hotword in hotwords for piece in re.split("[,\n]", hotword)):
        match = _WEIGHED.fullmatch(text)
        yield HotPhrase(match[1], float(match[2])) if match else HotPhrase(text)


def _hints(prompt: str) -> Iterable[HotPhrase]:
    for piece in _BREAKS.split(prompt):
        if 0 < len(piece.strip()) <= LONGEST_HINT:
            yield HotPhrase(piece.strip())


def _spelt(phrase: HotPhrase, alphabet: Alphabet) -> str:
    """The phrase in the model's letters. Raises InputError if the model cannot spell it."""
    return next(iter(spelt_phrases([phrase], alphabet)))


@dataclass(frozen=True)
class TurnDetection:
    """The rules for the beginning and end of a turn, with OpenAI's names and defaults."""

    threshold: float = 0.5  # least probability of speech; it works on a server with --vad
    prefix_padding_ms: int = 300  # audio of a turn before its speech
    silence_duration_ms: int = 500  # silence that ends a turn

    @property
    def rules(self) -> EndpointRules:
        """The rules that end segments, and so end turns."""
        return EndpointRules(
            pause_s=self.silence_duration_ms / 1000, voice_threshold=self.threshold
        )

    def to_dict(self) -> dict[str, Any]:
        """The object for messages to clients."""
        return {"type": "server_vad", **asdict(self)}


_PATIENCE_MS = {"low": 2000, "medium": 1000, "auto": 1000, "high": 500}
"""Silence for each eagerness of `semantic_vad`. OpenAI's goes by the meaning; ours by silence."""


def turn_detection(data: Mapping[str, Any], where: str) -> TurnDetection:
    """The settings in an object of type server_vad or semantic_vad. Missing keys have defaults.

    where: the object's name, with which errors begin. Raises Refused.
    """
    kind = data.get("type", "server_vad")
    if kind == "semantic_vad":
        eagerness = data.get("eagerness") or "auto"
        if not isinstance(eagerness, str) or eagerness not in _PATIENCE_MS:
            told = f"eagerness: must be one of {', '.join(_PATIENCE_MS)}"
            raise Refused(400, told, f"{where}.eagerness")
        return TurnDetection(silence_duration_ms=_PATIENCE_MS[eagerness])
    if kind != "server_vad":
        raise Refused(400, "type: must be server_vad or semantic_vad", f"{where}.type")
    return TurnDetection(
        threshold=_number(data, "threshold", 0, 1, where),
        prefix_padding_ms=round(_number(data, "prefix_padding_ms", 0, 10_000, where)),
        silence_duration_ms=round(_number(data, "silence_duration_ms", 100, 10_000, where)),
    )


def _number(data: Mapping[str, Any], key: str, low: float, high: float, where: str) -> float:
    value = data.get(key)
    if value is None:
        return float(getattr(TurnDetection, key))
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise Refused(400, f"{key}: must be a number from {low} to {high}", f"{where}.{key}")
    return number
