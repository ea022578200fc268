"""Answers of OpenAI's HTTP interface: transcripts in its five formats."""

import math
import zlib
from collections.abc import Iterator
from typing import Any

from starlette.responses import PlainTextResponse, Response

from ds2.text.alphabet import Alphabet
from ds2.text.language import NAMES
from ds2.transcripts.transcript import (
    WRITERS,
    LineShape,
    Segment,
    Transcript,
    Word,
    speaker_of,
    to_txt,
)

LEAST_CONFIDENCE = 1e-9  # JSON can hold its logarithm, but not the logarithm of 0


def json_body(transcript: Transcript, *, logprobs: bool) -> dict[str, Any]:
    """The format `json`: only the text. logprobs: whether to add the confidences of its words."""
    body: dict[str, Any] = {"text": transcript.text}
    if logprobs:
        body["logprobs"] = logprobs_of(transcript)
    return body | _channels(transcript) | {"usage": usage(transcript.duration_s)}


def verbose_json_body(
    transcript: Transcript, alphabet: Alphabet, *, words: bool, segments: bool
) -> dict[str, Any]:
    """The format `verbose_json`: every key that clients read; words and segments if wanted."""
    body: dict[str, Any] = {
        "task": "transcribe",
        # Whisper's names of languages, not their codes
        "language": NAMES.get(transcript.language, transcript.language),
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
    }
    if segments:
        body["segments"] = [
            _segment(index, segment, alphabet)
            for index, segment in enumerate(transcript.segments())
        ]
    if words:
        body["words"] = [
            _word(word) | speaker_of(segment)
            for segment in transcript.segments()
            for word in segment.words
        ]
    return body | _channels(transcript) | {"usage": usage(transcript.duration_s)}


def text_response(transcript: Transcript, file_format: str, shape: LineShape) -> Response:
    """The formats `text`, `srt` and `vtt`: the file itself."""
    if file_format == "text":
        text = to_txt(transcript, shape) if transcript.channels else transcript.text + "\n"
        return PlainTextResponse(text)
    content = WRITERS[file_format](transcript, shape)
    kind = {"srt": "text/plain", "vtt": "text/vtt"}[file_format]
    return Response(content, media_type=kind)


def _channels(transcript: Transcript) -> dict[str, Any]:
    """The text of each channel, where channels were heard apart (beyond OpenAI's)."""
    told = [
        {"channel": number, "text": channel.text}
        for number, channel in enumerate(transcript.channels, 1)
    ]
    return {"channels": told} if told else {}


def usage(duration_s: float) -> dict[str, Any]:
    """The usage: seconds of audio."""
    return {"type": "duration", "seconds": round(duration_s, 3)}


def logprobs_of(transcript: Transcript) -> list[dict[str, Any]]:
    """The text's tokens, which are words here, each with the logarithm of its confidence.

    The joined tokens are the text: every token except the first holds the space before it.
    """
    return [
        {"token": token, "logprob": _log(word), "bytes": list(token.encode())}
        for token, word in _tokens(transcript)
    ]


def _tokens(transcript: Transcript) -> Iterator[tuple[str, Word]]:
    """Each word, and its token: the word with the space before it."""
    text, position = transcript.text, 0
    for word in transcript.words:
        end = text.index(word.text, position) + len(word.text)
        yield text[position:end], word
        position = end


def _log(word: Word) -> float:
    return round(math.log(max(LEAST_CONFIDENCE, min(1.0, word.confidence))), 4)


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "confidence": round(word.confidence, 4),  # beyond OpenAI's
    }


def _segment(index: int, segment: Segment, alphabet: Alphabet) -> dict[str, Any]:
    """A segment with all of Whisper's keys. docs/reference/openai.md explains each number."""
    encoded = segment.text.encode()
    return {
        "id": index,
        "seek": 0,  # nothing was skipped: the recording is one window
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        **speaker_of(segment),  # beyond OpenAI's
        "tokens": alphabet.encode(segment.text),
        "temperature": 0.0,  # nothing is drawn at random
        "avg_logprob": round(sum(map(_log, segment.words)) / len(segment.words), 4),
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 4),
        "no_speech_prob": 0.0,  # every segment holds words
    }
