"""Transcripts and events in the JSON that Deepgram's clients read."""

import math
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from ds2.serving.engine.refused import Refused
from ds2.serving.engine.service import ModelCard
from ds2.transcripts.transcript import Segment, Transcript, Word

ERROR_CODES = {
    400: "Bad Request",
    401: "INVALID_AUTH",
    404: "Bad Request",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
    503: "SERVICE_UNAVAILABLE",
}


class RequestFacts:
    """The facts about a request that all its answers hold."""

    def __init__(self, card: ModelCard | None = None) -> None:
        self.id = str(uuid.uuid4())
        self.card = card  # the model that answers

    def of_result(self) -> dict[str, Any]:
        """The metadata of a live result."""
        return {
            "request_id": self.id,
            "model_info": self._model_info(),
            "model_uuid": self._model_id(),
        }

    def of_all(self, duration_s: float, sha256: str, *, num_channels: int = 1) -> dict[str, Any]:
        """The metadata of a whole stream or recording. sha256: of the audio as sent."""
        return {
            "transaction_key": "deprecated",
            "request_id": self.id,
            "sha256": sha256,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "duration": round(duration_s, 3),
            "channels": num_channels,
            "models": [self._model_id()],
            "model_info": {self._model_id(): self._model_info()},
        }

    def _model_id(self) -> str:
        name = self.card.name if self.card else ""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"ds2:{name}"))

    def _model_info(self) -> dict[str, str]:
        name = self.card.name if self.card else ""
        return {"name": name, "version": "1", "arch": "deep-speech-2"}


def live_result(
    channel: dict[str, Any],
    facts: RequestFacts,
    *,
    start_s: float,
    end_s: float,
    is_final: bool = False,
    speech_final: bool = False,
    from_finalize: bool = False,
    place: Sequence[int] = (0, 1),
) -> dict[str, Any]:
    """A message of the type Results, for the stream from `start_s` to `end_s`.

    place: the index of the channel, and the number of channels.
    """
    return {
        "type": "Results",
        "channel_index": [*place],
        "duration": round(max(0.0, end_s - start_s), 3),
        "start": round(start_s, 3),
        "is_final": is_final,
        "speech_final": speech_final,
        "from_finalize": from_finalize,
        "channel": channel,
        "metadata": facts.of_result(),
    }


def partial_channel(text: str) -> dict[str, Any]:
    """The text of the current segment, without times. It may still change."""
    return {"alternatives": [{"transcript": text, "confidence": 0.0, "words": []}]}


def channel_of(transcript: Transcript) -> dict[str, Any]:
    """A transcript, with its other hypotheses if any. These have no times."""
    confidence = _confidence(transcript.words)
    best = {
        "transcript": transcript.text,
        "confidence": confidence,
        "words": [_word(word) for word in transcript.words],
    }
    alternatives = [best]
    for each in transcript.alternatives[1:]:
        behind = each.scores.total - transcript.alternatives[0].scores.total
        share = round(confidence * math.exp(min(0.0, behind)), 6)
        alternatives.append({"transcript": each.text, "confidence": share, "words": []})
    return {"alternatives": alternatives}


def recording_body(
    transcript: Transcript, facts: RequestFacts, sha256: str, *, utterances: bool
) -> dict[str, Any]:
    """The answer to a recording. utterances: whether to include its segments."""
    heard = transcript.channels or (transcript,)
    results: dict[str, Any] = {"channels": [channel_of(each) for each in heard]}
    if utterances:
        results["utterances"] = [_utterance(each) for each in transcript.segments()]
    metadata = facts.of_all(transcript.duration_s, sha256, num_channels=len(heard))
    return {"metadata": metadata, "results": results}


def _utterance(segment: Segment) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "start": segment.start_s,
        "end": segment.end_s,
        "confidence": round(segment.confidence, 6),
        "channel": (segment.channel or 1) - 1,
        "transcript": segment.text,
        "words": [_word(word) for word in segment.words],
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": word.start_s,
        "end": word.end_s,
        "confidence": round(word.confidence, 6),
        "punctuated_word": word.text,
    }


def _confidence(words: Sequence[Word]) -> float:
    if not words:
        return 0.0
    return round(sum(word.confidence for word in words) / len(words), 6)


def refusal(refused: Refused, request_id: str) -> Response:
    """An error in Deepgram's form, for requests and handshakes."""
    code = ERROR_CODES.get(refused.status, "INTERNAL_SERVER_ERROR")
    body = {"err_code": code, "err_msg": refused.message, "request_id": request_id}
    # Clients do not see the body of a failed handshake. They read these headers.
    plain = "".join(
        each if " " <= each <= "~" else "?" for each in " ".join(refused.message.split())
    )
    headers = {"dg-request-id": request_id, "dg-error": plain}
    return JSONResponse(body, refused.status, headers)


def error_message(refused: Refused) -> dict[str, Any]:
    """An error within a stream."""
    variant = "INTERNAL" if refused.status >= 500 else "SchemaError"
    told = refused.message
    return {"type": "Error", "variant": variant, "description": told, "message": told}


def configure_failure(facts: RequestFacts) -> dict[str, Any]:
    """The answer to a client that wants to change the phrases during a stream."""
    return {
        "type": "ConfigureFailure",
        "request_id": facts.id,
        "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
        "description": "phrases cannot change during a stream: open a new stream",
    }
