"""Cuts utterances out of their recordings, and writes each to a file of its own."""

from dataclasses import replace
from pathlib import Path

from ds2.audio import read_audio, write_flac
from ds2.manifest import Utterance


def write_clip(utterance: Utterance, directory: Path) -> Utterance:
    """Write the utterance's audio as 16 kHz FLAC, and return the utterance of this file.

    This keeps a clip that exists. Raises InputError if the recording is unreadable.
    """
    duration_ms = round(1000 * (utterance.duration_s or 0))
    name = f"{utterance.audio_path.stem}-{round(1000 * utterance.offset_s):09d}-{duration_ms}.flac"
    path = directory.absolute() / name
    if not path.exists():
        waveform = read_audio(
            utterance.audio_path, offset_s=utterance.offset_s, duration_s=utterance.duration_s
        )
        write_flac(path, waveform)
    return replace(utterance, audio_path=path, offset_s=0.0)
