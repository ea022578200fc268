"""Recordings of any kind in, waveforms at 16 kHz out; and waveforms to files."""

from ds2.audio.arrays import SampleIntake, mono_of
from ds2.audio.info import AudioInfo
from ds2.audio.reading import (
    EXTENSIONS,
    audio_blocks,
    find_audio,
    pcm_blocks,
    probe_audio,
    read_audio,
    sound_tracks,
)
from ds2.audio.resampling import SAMPLE_RATE_HZ, Resampler, Waveform
from ds2.audio.sources import Source
from ds2.audio.tracks import Track
from ds2.audio.writing import write_flac, write_wav

__all__ = [
    "EXTENSIONS",
    "SAMPLE_RATE_HZ",
    "AudioInfo",
    "Resampler",
    "SampleIntake",
    "Source",
    "Track",
    "Waveform",
    "audio_blocks",
    "find_audio",
    "mono_of",
    "pcm_blocks",
    "probe_audio",
    "read_audio",
    "sound_tracks",
    "write_flac",
    "write_wav",
]
