"""Opens each recording with the library that reads it best: libsndfile or FFmpeg.

libsndfile reads WAV and its relatives, FLAC and Ogg Vorbis. FFmpeg, through PyAV, reads the rest:
Opus, MP3, M4A, WebM and the sound of videos. libsndfile could read MP3 and Opus, too. But its MP3
decoder prints warnings on standard error, and it gives up within some Opus files that are right.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import soundfile

from ds2.audio.ffmpeg import open_ffmpeg
from ds2.audio.headers import (
    claimed_ratio,
    is_mpeg_wav,
    num_ogg_streams,
    ogg_end,
    second_flac,
)
from ds2.audio.info import MISSING_S, AudioInfo, Decoder, cut_short, past_end
from ds2.audio.pcm import as_floats, check_form
from ds2.audio.resampling import Waveform
from ds2.audio.riff import STARTS, whole_sound
from ds2.audio.sources import Pipe, Seekable, Source, open_source
from ds2.audio.tracks import Track, choose_track

READ_FRAMES = 8192  # decoded at once; the reported end of a damaged file is this exact
logger = logging.getLogger("ds2.audio")

SOUNDFILE_STARTS = tuple(b"RIFF RIFX RF64 riff FORM .snd caff NIST fLaC OggS".split())


class _SoundFile:
    """A recording that libsndfile reads."""

    def __init__(
        self, file: Any, name: str, claimed_s: float, wanted: int | str | None, told: str | None
    ) -> None:
        self._file, self._name, self._claimed_s, self._told = file, name, claimed_s, told
        there_s = file.frames / file.samplerate
        self.info = AudioInfo(
            sample_rate_hz=file.samplerate,
            num_channels=file.channels,
            duration_s=there_s,
            format=file.format,
            encoding=file.subtype,
            missing_s=claimed_s - there_s if claimed_s > there_s + MISSING_S else 0.0,
        )
        only = Track(
            number=1,
            encoding=file.subtype,
            num_channels=file.channels,
            sample_rate_hz=file.samplerate,
            title=file.title or None,
            is_default=True,
            start_s=0.0,
            duration_s=there_s,
        )
        self._track = choose_track([only], wanted, name)

    def tell(self) -> None:
        if self._told:
            logger.warning("%s: %s", self._name, self._told)

    def tracks(self) -> tuple[Track, ...]:
        return (self._track,)

    def pieces(self, start: int, stop: int | None) -> Iterator[Waveform]:
        there, rate = self._file.frames, self._file.samplerate
        if (stop is None or stop > there) and self.info.missing_s:
            raise cut_short(self._name, there / rate, self._claimed_s)
        if start >= there:
            raise past_end(self._name, start / rate, there / rate)
        stop = there if stop is None else min(stop, there)
        for position in range(start, stop, READ_FRAMES):
            num_frames = min(READ_FRAMES, stop - position)
            try:
                if position == start:
                    self._file.seek(start)
                block = self._file.read(num_frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                block = np.empty((0, self.info.num_channels), np.float32)
            if len(block) < num_frames and there - position > MISSING_S * rate:
                raise cut_short(self._name, position / rate, self._claimed_s)
            yield as_floats(block)


@contextmanager
def open_decoder(source: Source, name: str, track: int | str | None = None) -> Iterator[Decoder]:
    """Open the recording with the library that reads it. track: as in `choose_track`."""
    with ExitStack() as stack:
        file, head = open_source(source, stack)
        decoder = _open_soundfile(file, head, name, track, stack) or open_ffmpeg(
            file, head, name, track, stack
        )
        check_form(decoder.info.sample_rate_hz, decoder.info.num_channels, name)
        yield decoder


def _open_soundfile(
    file: Seekable | Pipe, head: bytes, name: str, wanted: int | str | None, stack: ExitStack
) -> Decoder | None:
    """The recording through libsndfile, or None if FFmpeg has to read it."""
    if isinstance(file, Pipe) or not head.startswith(SOUNDFILE_STARTS) or is_mpeg_wav(head):
        return None
    if num_ogg_streams(head) > 1:  # a film's sound has times, and libsndfile does not give them
        return None
    ogg_end_frame = ogg_end(file) if head.startswith(b"OggS") else 0
    told = None
    if head.startswith(STARTS):
        wav = whole_sound(file)
        file, told = wav.file, wav.told
    elif head.startswith(b"fLaC") and (place := second_flac(file)):
        told = f"another recording follows in the file, from byte {place} on: ds2 leaves it out"
    try:
        sound_file = stack.enter_context(soundfile.SoundFile(file))
    except soundfile.LibsndfileError:
        return None
    if sound_file.subtype == "OPUS":
        return None
    # A writer into a pipe cannot go back to fill in the length. FFmpeg then reads to the end.
    if not (sound_file.seekable() and 0 < sound_file.frames < 1 << 48):
        return None
    rate = sound_file.samplerate
    claimed_s = sound_file.frames / rate * claimed_ratio(sound_file.extra_info)
    if ogg_end_frame:
        claimed_s = ogg_end_frame / rate
    return _SoundFile(sound_file, name, claimed_s, wanted, told)
