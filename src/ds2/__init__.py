"""ds2: end-to-end speech recognition for English and Mandarin.

from ds2 import Recognizer

recognizer = Recognizer.load("en")
print(recognizer.transcribe("recording.wav").text)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ds2.audio import read_audio
    from ds2.ctc.beam_search import BeamSearch
    from ds2.ctc.phrases import HotPhrase
    from ds2.ctc.settings import BeamSettings
    from ds2.errors import InputError
    from ds2.ngram.model import NgramModel
    from ds2.recognition.aligner import Aligner
    from ds2.recognition.endpoint import EndpointRules
    from ds2.recognition.recognizer import Recognizer
    from ds2.recognition.voice import VoiceDetector
    from ds2.text.alphabet import Alphabet, english_characters
    from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart
    from ds2.transcripts.transcript import Alternative, Segment, Transcript, Word

__version__ = "0.1.0"
__all__ = [
    "Aligner",
    "Alphabet",
    "Alternative",
    "BeamSearch",
    "BeamSettings",
    "Endpoint",
    "EndpointRules",
    "Event",
    "Final",
    "HotPhrase",
    "InputError",
    "NgramModel",
    "Partial",
    "Recognizer",
    "Segment",
    "SpeechStart",
    "Transcript",
    "VoiceDetector",
    "Word",
    "english_characters",
    "read_audio",
]

_HOMES = {
    "Aligner": "ds2.recognition.aligner",
    "Alphabet": "ds2.text.alphabet",
    "Alternative": "ds2.transcripts.transcript",
    "BeamSearch": "ds2.ctc.beam_search",
    "BeamSettings": "ds2.ctc.settings",
    "Endpoint": "ds2.transcripts.events",
    "EndpointRules": "ds2.recognition.endpoint",
    "Event": "ds2.transcripts.events",
    "Final": "ds2.transcripts.events",
    "HotPhrase": "ds2.ctc.phrases",
    "InputError": "ds2.errors",
    "NgramModel": "ds2.ngram.model",
    "Partial": "ds2.transcripts.events",
    "Recognizer": "ds2.recognition.recognizer",
    "Segment": "ds2.transcripts.transcript",
    "SpeechStart": "ds2.transcripts.events",
    "Transcript": "ds2.transcripts.transcript",
    "VoiceDetector": "ds2.recognition.voice",
    "Word": "ds2.transcripts.transcript",
    "english_characters": "ds2.text.alphabet",
    "read_audio": "ds2.audio",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, because `ds2 --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ds2' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # Python finds it without this function from now on
    return value


def __dir__() -> list[str]:
    """The public names, for completion. They include names that are not imported yet."""
    return [*__all__, "__version__"]
