"""The recordings that ds2 recognises: files, parts of files, and samples in memory."""

from collections.abc import Iterator
from typing import TypeAlias, cast

from numpy.typing import ArrayLike

from ds2.audio import Channels, Source, Waveform, array_blocks, audio_blocks
from ds2.errors import InputError
from ds2.manifest import Utterance

Recording: TypeAlias = Source | Utterance | ArrayLike
"""A path, a file's bytes, or an open file; a part of a file; or samples, (N,) or (N, channels)."""


def recording_blocks(
    recording: Recording,
    sample_rate: int | None = None,
    block_s: float = 30.0,
    track: int | str | None = None,
    channels: Channels = "mix",
) -> Iterator[Waveform]:
    """Pieces of the recording, (N,) float32 at 16 kHz; (N, C) if "split". Raises InputError.

    sample_rate: the rate of samples in memory, in Hz; None: 16000. A file holds its own rate.
    block_s: the seconds of a file that ds2 reads at a time.
    track: for a file with several sound tracks, the track's number, from 1, or its language.
    """
    if isinstance(recording, bytearray):
        recording = bytes(recording)
    is_file = isinstance(recording, Utterance | str | bytes) or hasattr(recording, "__fspath__")
    if not is_file and not hasattr(recording, "read"):
        if track is not None:
            raise InputError("track: is for files: samples in memory have none: leave it out")
        return array_blocks(recording, sample_rate, channels)
    if sample_rate is not None:
        raise InputError("sample_rate: is for samples in memory: a file has its own: leave it out")
    if isinstance(recording, Utterance):
        return audio_blocks(
            recording.audio_path,
            offset_s=recording.offset_s,
            duration_s=recording.duration_s,
            block_s=block_s,
            track=track,
            channels=channels,
        )
    return audio_blocks(cast(Source, recording), block_s=block_s, track=track, channels=channels)


def columns_of(block: Waveform) -> list[Waveform]:
    """The waveforms of a block, (N,) each: itself, or one for each channel of (N, C)."""
    return [block] if block.ndim == 1 else [column.copy() for column in block.T]
