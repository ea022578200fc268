"""ds2: end-to-end speech recognition for English and Mandarin.

from ds2 import Recognizer

recognizer = Recognizer.load("models/en")
print(recognizer.transcribe("recording.wav").text)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ds2.audio import read_audio
    from ds2.errors import InputError
    from ds2.recognizer import Recognizer
    from ds2.transcript import Transcript, Word

__version__ = "0.1.0"
__all__ = ["InputError", "Recognizer", "Transcript", "Word", "read_audio"]

_HOMES = {
    "InputError": "ds2.errors",
    "Recognizer": "ds2.recognizer",
    "Transcript": "ds2.transcript",
    "Word": "ds2.transcript",
    "read_audio": "ds2.audio",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: `ds2 --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ds2' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
