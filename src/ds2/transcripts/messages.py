"""Events as JSON messages of our protocol, for server and client: docs/reference/websocket.md."""

from dataclasses import asdict
from typing import Any

from ds2.ctc.hypothesis import Scores
from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart
from ds2.transcripts.transcript import Alternative, Transcript, Word


def event_to_dict(event: Event, heard_s: float) -> dict[str, Any]:
    """An event as a message. heard_s: seconds of the stream that the model has processed."""
    match event:
        case SpeechStart(time_s):
            return {"type": "speech_start", "time_s": time_s}
        case Partial(stable, unstable):
            return {
                "type": "partial",
                "stable": stable,
                "unstable": unstable,
                "heard_s": round(heard_s, 3),
            }
        case Final(transcript):
            return {"type": "final", **transcript_to_dict(transcript), "heard_s": round(heard_s, 3)}
        case Endpoint(time_s, reason):
            return {"type": "endpoint", "time_s": time_s, "reason": reason}


def transcript_to_dict(transcript: Transcript) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "text": transcript.text,
        "words": [
            {
                "word": word.text,
                "start": word.start_s,
                "end": word.end_s,
                "confidence": word.confidence,
            }
            for word in transcript.words
        ],
        "duration_s": transcript.duration_s,
        "language": transcript.language,
    }
    if transcript.alternatives:
        fields["alternatives"] = [
            {"text": each.text, "scores": asdict(each.scores)} for each in transcript.alternatives
        ]
    return fields


def event_from_dict(message: dict[str, Any]) -> Event:
    """The event in a message. Raises ValueError for a type that is not an event's."""
    match message["type"]:
        case "speech_start":
            return SpeechStart(message["time_s"])
        case "partial":
            return Partial(message["stable"], message["unstable"])
        case "endpoint":
            return Endpoint(message["time_s"], message["reason"])
        case "final":
            return Final(transcript_from_dict(message))
        case unknown:
            raise ValueError(f'a message has the unknown type "{unknown}"')


def transcript_from_dict(message: dict[str, Any]) -> Transcript:
    return Transcript(
        words=tuple(
            Word(each["word"], each["start"], each["end"], each["confidence"])
            for each in message["words"]
        ),
        duration_s=message["duration_s"],
        language=message["language"],
        alternatives=tuple(
            Alternative(each["text"], Scores(**each["scores"]))
            for each in message.get("alternatives", ())
        ),
    )
