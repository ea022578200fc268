"""The query of a request to Deepgram's /v1/listen."""

import re
from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams

from ds2.audio.samples import Encoding
from ds2.ctc.phrases import HotPhrase
from ds2.recognition.endpoint import EndpointRules
from ds2.serving.engine.channels import MOST_CHANNELS
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import MOST_ALTERNATIVES
from ds2.serving.engine.session import StreamOptions

ENCODINGS: dict[str, Encoding] = {"linear16": "s16le", "mulaw": "mulaw", "alaw": "alaw"}
THEIR_MODELS = re.compile(r"(nova|enhanced|base|whisper|general)\b.*")
"""Names that clients must send to Deepgram. For these names, the language chooses the model."""
NOT_DONE = ("callback", "redact", "replace", "search")
"""Clients would rely on these, so the server refuses them. It ignores other options it lacks."""
SHORTEST_PAUSE_S = 0.2
"""Shorter silences occur within words. Deepgram's default of 10 ms would end words early."""
SHORTEST_UTTERANCE_END_S = 1.0  # theirs, too
HOTTEST = 20.0  # natural logarithm
MOST_PHRASES = 500


@dataclass(frozen=True)
class Query:
    """The client's options, in our units."""

    model: str | None = None
    language: str | None = None
    encoding: Encoding | None = None  # None: a file, whose header says it
    sample_rate_hz: int = 16_000
    interim_results: bool = False
    pause_s: float | None = None  # silence that ends a segment; None: the default
    tells_endpoints: bool = True  # whether speech_final can be true
    utterance_end_s: float | None = None
    vad_events: bool = False
    utterances: bool = False
    num_channels: int = 1  # of samples; a file's header says its own
    multichannel: bool = False  # true: each channel by itself; false: their mix
    num_alternatives: int = 1
    phrases: tuple[HotPhrase, ...] = ()

    def options(self) -> StreamOptions:
        """The options for a recording."""
        return StreamOptions(
            model=self.model,
            language=self.language,
            sample_rate_hz=self.sample_rate_hz,
            phrases=self.phrases,
            num_alternatives=self.num_alternatives - 1,  # besides the best
            is_live=False,
        )

    def live_options(self, sample_rate_hz: int | None = None) -> StreamOptions:
        """The options for a live stream. sample_rate_hz: the rate in a header."""
        rules = EndpointRules()
        if self.pause_s is not None:
            rules = replace(rules, pause_s=self.pause_s)
        rate_hz = sample_rate_hz or self.sample_rate_hz
        return replace(self.options(), sample_rate_hz=rate_hz, endpoints=rules, is_live=True)


def query_of(params: QueryParams, models: tuple[str, ...] = ()) -> Query:
    """The options in a query. models: names of our own models. Raises Refused."""
    for name in NOT_DONE:
        if params.get(name):
            raise Refused(400, f"{name}: this server does not do that: leave it out", name)
    encoding = params.get("encoding")
    if encoding and encoding not in ENCODINGS:
        known = ", ".join(ENCODINGS)
        raise Refused(400, f'encoding: must be {known}, not "{encoding[:40]}"', "encoding")
    model = params.get("model")
    is_theirs = model is not None and model not in models and THEIR_MODELS.fullmatch(model)
    pause_s, tells_endpoints = _endpointing(params)
    return Query(
        model=None if is_theirs else model or None,
        language=params.get("language") or None,
        encoding=ENCODINGS[encoding] if encoding else None,
        sample_rate_hz=_number(params, "sample_rate", 16_000 if encoding != "mulaw" else 8000),
        interim_results=_claim(params, "interim_results"),
        pause_s=pause_s,
        tells_endpoints=tells_endpoints,
        utterance_end_s=_utterance_end_s(params),
        vad_events=_claim(params, "vad_events"),
        utterances=_claim(params, "utterances"),
        num_channels=_num_channels(params),
        multichannel=_claim(params, "multichannel"),
        num_alternatives=min(max(1, _number(params, "alternatives", 1)), MOST_ALTERNATIVES),
        phrases=_phrases(params),
    )


def _endpointing(params: QueryParams) -> tuple[float | None, bool]:
    """The silence that ends a segment, and whether results mark such ends."""
    given = params.get("endpointing", "true").lower()
    if given in ("true", "false"):
        return None, given == "true"
    return max(SHORTEST_PAUSE_S, _number(params, "endpointing", 0) / 1000), True


def _utterance_end_s(params: QueryParams) -> float | None:
    if not params.get("utterance_end_ms"):
        return None
    gap_s = _number(params, "utterance_end_ms", 0) / 1000
    if gap_s < SHORTEST_UTTERANCE_END_S:
        raise Refused(400, "utterance_end_ms: must be 1000 or more", "utterance_end_ms")
    return gap_s


def _number(params: QueryParams, name: str, usual: int) -> int:
    given = params.get(name) or str(usual)
    if not re.fullmatch(r"[0-9]{1,9}", given):
        raise Refused(400, f'{name}: must be a whole number, not "{given[:40]}"', name)
    return int(given)


def _num_channels(params: QueryParams) -> int:
    num_channels = _number(params, "channels", 1)
    if not 1 <= num_channels <= MOST_CHANNELS:
        raise Refused(400, f"channels: must be 1 to {MOST_CHANNELS}", "channels")
    return num_channels


def _claim(params: QueryParams, name: str) -> bool:
    given = params.get(name, "false").lower()
    if given not in ("true", "false", "1", "0"):
        raise Refused(400, f'{name}: must be true or false, not "{given[:40]}"', name)
    return given in ("true", "1")


def _phrases(params: QueryParams) -> tuple[HotPhrase, ...]:
    """Phrases from keyterm=PHRASE and keywords=WORD:INTENSIFIER, where 1 is the default weight."""
    phrases = [HotPhrase(text) for text in params.getlist("keyterm") if text.strip()]
    for given in params.getlist("keywords"):
        text, _, factor = given.partition(":")
        if not re.fullmatch(r"(-?[0-9]{1,6}(\.[0-9]{1,6})?)?", factor):
            raise Refused(400, f'keywords: must be WORD:NUMBER, not "{given[:40]}"', "keywords")
        usual = HotPhrase(text)
        weight = usual.weight * float(factor or 1)
        phrases.append(HotPhrase(text, min(max(weight, -HOTTEST), HOTTEST)))
    if len(phrases) > MOST_PHRASES:
        raise Refused(400, f"keyterm: must be {MOST_PHRASES} or fewer", "keyterm")
    return tuple(phrases)
