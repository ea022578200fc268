"""Reads recordings of any kind as waveforms at 16 kHz.

A recording that ds2 cannot read raises InputError, with one line that says why.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ds2.audio.channels import ChannelChoice, Channels
from ds2.audio.decoders import open_decoder
from ds2.audio.info import AudioInfo
from ds2.audio.pcm import check_form, checked, pcm_pieces
from ds2.audio.resampling import SAMPLE_RATE_HZ, Waveform, regrouped, resampled
from ds2.audio.samples import Encoding
from ds2.audio.sources import Source, name_of, saying_what_fails
from ds2.audio.tracks import Track
from ds2.errors import InputError

LONGEST_WHOLE_S = 12 * 3600  # 2.8 GB; this also stops a small file that unpacks without end


def read_audio(
    source: Source,
    *,
    offset_s: float = 0.0,
    duration_s: float | None = None,
    track: int | str | None = None,
) -> Waveform:
    """The recording, or its part from `offset_s`, as (N,) float32 in [-1, 1] at 16 kHz.

    This averages the channels. A part that runs past the end stops at the end. The samples of a
    film are at the film's times, with silence before its sound begins and in gaps.
    track: number of the sound track, counted from 1, or its language; None is the default track.
    Raises InputError for an unreadable recording, and for more than 12 hours at once.
    """
    blocks, num_samples = [np.empty(0, np.float32)], 0
    for block in audio_blocks(source, offset_s=offset_s, duration_s=duration_s, track=track):
        blocks.append(block)
        num_samples += len(block)
        if num_samples > LONGEST_WHOLE_S * SAMPLE_RATE_HZ:
            raise InputError(f"{name_of(source)}: lasts over 12 hours: read it in parts")
    return np.concatenate(blocks)


def audio_blocks(
    source: Source,
    *,
    offset_s: float = 0.0,
    duration_s: float | None = None,
    block_s: float = 30.0,
    track: int | str | None = None,
    channels: Channels = "mix",
) -> Iterator[Waveform]:
    """The samples of `read_audio`, exactly, in pieces of `block_s` (the last may be shorter).

    track: as in `read_audio`.
    channels: "mix" for their mean; a number, from 1, for one channel; "split" for all, in pieces of
    (N, C).
    The memory depends on the block alone, not on the recording. This reads a pipe as it fills.
    Raises InputError as `read_audio` does. It finds a fault late in a file late.
    """
    name = name_of(source)
    if not (np.isfinite(offset_s) and offset_s >= 0):
        raise InputError(f"{name}: offset {offset_s} s: it must be 0 or more")
    if duration_s is not None and not (np.isfinite(duration_s) and duration_s > 0):
        raise InputError(f"{name}: duration {duration_s} s: it must be more than 0")
    with saying_what_fails(name), open_decoder(source, name, track) as decoder:
        decoder.tell()
        rate = decoder.info.sample_rate_hz
        start = round(offset_s * rate)
        stop = None if duration_s is None else start + max(1, round(duration_s * rate))
        choice = ChannelChoice(channels, name)
        heard = map(choice.feed, decoder.pieces(start, stop))
        pieces = checked(heard, start, rate, name)
        yield from regrouped(resampled(pieces, rate), max(1, round(block_s * SAMPLE_RATE_HZ)))


def probe_audio(source: Source, *, track: int | str | None = None) -> AudioInfo:
    """What the recording's header says, without decoding it. Raises InputError.

    track: as of `read_audio`.
    """
    name = name_of(source)
    with saying_what_fails(name), open_decoder(source, name, track) as decoder:
        return decoder.info


def sound_tracks(source: Source) -> tuple[Track, ...]:
    """The sound tracks of the recording, as its container describes them. Raises InputError."""
    name = name_of(source)
    with saying_what_fails(name), open_decoder(source, name) as decoder:
        return decoder.tracks()


def pcm_blocks(
    file: BinaryIO,
    *,
    sample_rate_hz: int,
    num_channels: int,
    encoding: Encoding = "s16le",
    block_s: float = 0.1,
    channels: Channels = "mix",
) -> Iterator[Waveform]:
    """Samples without a header, from a file or pipe: a piece at 16 kHz for each `block_s`.

    channels: as in `audio_blocks`.
    Raises InputError if the bytes end within a sample or are not sound.
    """
    name = name_of(file)
    check_form(sample_rate_hz, num_channels, name)
    frames_at_once = max(1, round(block_s * sample_rate_hz))
    choice = ChannelChoice(channels, name)
    pieces = map(choice.feed, pcm_pieces(file, name, num_channels, encoding, frames_at_once))
    yield from resampled(checked(pieces, 0, sample_rate_hz, name), sample_rate_hz)
