"""Reads recordings of any kind as waveforms at 16 kHz, and writes waveforms to files."""

from ds2.audio.channels import ChannelChoice, Channels, DownMix
from ds2.audio.finding import EXTENSIONS, Found, find_audio, search
from ds2.audio.info import AudioInfo
from ds2.audio.pcm import SampleIntake, array_blocks, frames_of, mono_of
from ds2.audio.reading import (
    audio_blocks,
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
    "ChannelChoice",
    "Channels",
    "DownMix",
    "Found",
    "Resampler",
    "SampleIntake",
    "Source",
    "Track",
    "Waveform",
    "array_blocks",
    "audio_blocks",
    "find_audio",
    "frames_of",
    "mono_of",
    "pcm_blocks",
    "probe_audio",
    "read_audio",
    "search",
    "sound_tracks",
    "write_flac",
    "write_wav",
]
