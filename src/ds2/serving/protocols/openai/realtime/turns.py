"""Turns of a live session: from a stream's events to OpenAI's messages."""

import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ds2.serving.protocols.openai.answers import logprobs_of, usage
from ds2.serving.protocols.openai.realtime.settings import SessionSettings
from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart
from ds2.transcripts.transcript import Transcript

SHORTEST_COMMIT_S = 0.1
"""OpenAI's: less audio than this is a mistake."""

Message: TypeAlias = dict[str, Any]
"""A message to a client, without its event_id."""


@dataclass(frozen=True)
class _Request:
    """A commit or a clear on its way through the stream."""

    kind: Literal["commit", "clear"]
    heard_s: float  # seconds of audio before it
    event_id: str | None


class Turns:
    """The turns of one session. Each becomes an item of OpenAI's conversation.

    The text of a turn is sent as soon as it is certain. A delta is final, and the joined deltas of
    an item are its transcript.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self.heard_s = 0.0  # audio appended so far, in all streams of the session
        self._stream_start_s = 0.0  # where in it the current stream began
        self._turn_start_s = 0.0
        self._requests: deque[_Request] = deque()  # the stream has not reached these yet
        self._previous_id: str | None = None
        self._begin_turn(0.0)

    def _begin_turn(self, time_s: float) -> None:
        self._item_id = f"item_{secrets.token_hex(12)}"
        self._turn_start_s = time_s
        self._has_speech = False
        self._told = ""
        self._transcript: Transcript | None = None

    def begin_stream(self) -> None:
        """Note that a new stream takes the audio from here on."""
        self._stream_start_s = self.heard_s
        self._requests.clear()

    def request(self, kind: Literal["commit", "clear"], event_id: str | None) -> None:
        """Note that the client ends or drops the turn, at the stream's next requested endpoint.

        event_id: the client's name for its message.
        """
        self._requests.append(_Request(kind, self.heard_s, event_id))

    def take(self, event: Event) -> Iterator[Message]:
        """The messages to the client for an event of the stream."""
        if isinstance(event, SpeechStart):
            yield from self._start_speech(self._stream_start_s + event.time_s)
        elif isinstance(event, Partial):
            if not (self._requests and self._requests[0].kind == "clear"):
                yield from self._tell(event.stable)
        elif isinstance(event, Final):
            self._transcript = event.transcript
        elif event.reason == "request" and self._requests:
            yield from self._end_by_request(self._requests.popleft())
        else:
            yield from self._end_by_rule(event)

    def end_stream(self) -> Iterator[Message]:
        """The messages at the end of the stream. A requested end or any words make a last turn."""
        if self._requests:
            yield from self._end_by_request(self._requests.popleft())
        elif self._transcript is not None and self._transcript.words:
            yield from self._end_turn(self.heard_s)
        else:
            self._begin_turn(self.heard_s)

    def _start_speech(self, time_s: float) -> Iterator[Message]:
        """`speech_started`, if the server looks for turns: the turn's audio begins there."""
        if self.settings.turns is None or self._has_speech:
            return
        self._has_speech = True
        padding_s = self.settings.turns.prefix_padding_ms / 1000
        start_s = max(self._turn_start_s, time_s - padding_s)
        yield {
            "type": "input_audio_buffer.speech_started",
            "audio_start_ms": round(1000 * start_s),
            "item_id": self._item_id,
        }

    def _tell(self, text: str) -> Iterator[Message]:
        """A delta with the certain text that is not sent yet."""
        if len(text) > len(self._told) and text.startswith(self._told):
            delta, self._told = text[len(self._told) :], text
            yield self._transcription("delta", delta=delta)

    def _end_by_request(self, request: "_Request") -> Iterator[Message]:
        said = self._transcript is not None and self._transcript.words
        length_s = request.heard_s - self._turn_start_s
        if request.kind == "clear":
            self._begin_turn(request.heard_s)
            yield {"type": "input_audio_buffer.cleared"}
        elif said or length_s >= SHORTEST_COMMIT_S:
            yield from self._end_turn(request.heard_s)
        else:
            yield nothing_to_commit(length_s, request.event_id)

    def _end_by_rule(self, endpoint: Endpoint) -> Iterator[Message]:
        """The messages after an end that the server found. Without words there was no turn."""
        time_s = self._stream_start_s + endpoint.time_s
        if self._transcript is not None and self._transcript.words:
            yield from self._start_speech(self._stream_start_s + self._transcript.words[0].start_s)
        if self._has_speech:
            yield from self._end_turn(time_s)
        else:
            self._begin_turn(time_s)

    def _end_turn(self, time_s: float) -> Iterator[Message]:
        transcript = self._transcript
        text = transcript.text if transcript else ""
        item_id, previous_id = self._item_id, self._previous_id
        if self._has_speech:
            yield {
                "type": "input_audio_buffer.speech_stopped",
                "audio_end_ms": round(1000 * time_s),
                "item_id": item_id,
            }
        yield {
            "type": "input_audio_buffer.committed",
            "item_id": item_id,
            "previous_item_id": previous_id,
        }
        for kind in ("added", "done"):
            yield {
                "type": f"conversation.item.{kind}",
                "previous_item_id": previous_id,
                "item": _item(item_id),
            }
        yield from self._tell(text)
        more: Message = {"usage": usage(time_s - self._turn_start_s)}
        if self.settings.logprobs and transcript:
            more["logprobs"] = logprobs_of(transcript)
        yield self._transcription("completed", transcript=text, **more)
        self._previous_id = item_id
        self._begin_turn(time_s)

    def _transcription(self, kind: str, **fields: Any) -> Message:
        return {
            "type": f"conversation.item.input_audio_transcription.{kind}",
            "item_id": self._item_id,
            "content_index": 0,
            **fields,
        }


def error_message(
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    event_id: str | None = None,
) -> Message:
    """An error. event_id: the event_id of the client's message that caused it."""
    error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
    return {"type": "error", "error": error}


def nothing_to_commit(length_s: float, event_id: str | None) -> Message:
    """The error for a turn with too little audio. event_id: the event_id of the commit."""
    return error_message(
        f"there is too little to commit: at least {1000 * SHORTEST_COMMIT_S:.0f} ms of audio are"
        f" needed, and there are {1000 * length_s:.0f} ms",
        code="input_audio_buffer_commit_empty",
        event_id=event_id,
    )


def _item(item_id: str) -> Message:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
