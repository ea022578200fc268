"""Opening recordings with the library that reads them: libsndfile or FFmpeg.

libsndfile reads WAV and its relatives, FLAC and Ogg Vorbis. FFmpeg, through PyAV, reads the rest:
Opus, MP3, M4A, WebM, the sound of a video. (libsndfile reads MP3 and Opus too, but its MP3 decoder
prints warnings of its own on standard error, and it gives up within some sound Opus files.)
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np
import soundfile

from ds2.audio.headers import claimed_ratio, is_mpeg_wav, mp3_tells_length, ogg_end
from ds2.audio.pcm import as_floats, check_form
from ds2.audio.resampling import Waveform
from ds2.audio.sources import Pipe, Seekable, Source, is_mp4, open_source
from ds2.errors import InputError

# Titles and the like in other encodings than UTF-8: PyAV 19 takes them, those before are told to.
IS_STRICT = int(av.__version__.partition(".")[0]) < 19
TAGS: dict[str, Any] = {"metadata_errors": "replace"} if IS_STRICT else {}
READ_FRAMES = 8192  # decoded at once; also how finely the end of a damaged file is told
MISSING_S = 0.25  # headers of lossy formats are off by less than this
NOT_AUDIO = "not a recording that can be read: convert it, say with: ffmpeg -i FILE out.wav"

SOUNDFILE_STARTS = tuple(b"RIFF RIFX RF64 riff FORM .snd caff NIST fLaC OggS".split())
# Kept to plain media: playlists and the like would make FFmpeg open other files and addresses.
FFMPEG_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,"
    "tta,w64,wav,wv"
)


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header says of it."""

    sample_rate_hz: int
    num_channels: int
    duration_s: float | None  # an estimate for bare MP3 and AAC; None if only decoding would tell
    format: str  # the container: "WAV", "FLAC", "OGG", "MP3", "MOV", "MATROSKA"
    encoding: str  # of the samples: "PCM_16", "VORBIS", "aac"
    missing_s: float = 0.0  # what the header claims beyond `duration_s`, where the file is cut off


class Decoder(Protocol):
    """An opened recording."""

    info: AudioInfo

    def pieces(self, start: int, stop: int | None) -> Iterator[Waveform]:
        """(N, C) samples start to stop, at the recording's own rate, unchecked."""


class _SoundFile:
    """What libsndfile reads."""

    def __init__(self, file: Any, name: str, claimed_s: float) -> None:
        self._file, self._name, self._claimed_s = file, name, claimed_s
        there_s = file.frames / file.samplerate
        self.info = AudioInfo(
            sample_rate_hz=file.samplerate,
            num_channels=file.channels,
            duration_s=there_s,
            format=file.format,
            encoding=file.subtype,
            missing_s=claimed_s - there_s if claimed_s > there_s + MISSING_S else 0.0,
        )

    def pieces(self, start: int, stop: int | None) -> Iterator[Waveform]:
        there, rate = self._file.frames, self._file.samplerate
        if (stop is None or stop > there) and self.info.missing_s:
            raise _cut_short(self._name, there / rate, self._claimed_s)
        if start >= there:
            raise _past_end(self._name, start / rate, there / rate)
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
                raise _cut_short(self._name, position / rate, self._claimed_s)
            yield as_floats(block)


class _FFmpeg:
    """What FFmpeg reads: the first sound track of nearly anything."""

    def __init__(
        self, container: Any, name: str, *, tells_length: bool, ogg_end_frame: int = 0
    ) -> None:
        self._container, self._name = container, name
        self._stream = container.streams.audio[0]
        codec = self._stream.codec_context
        duration_s = None
        if self._stream.duration:
            duration_s = float(self._stream.duration * self._stream.time_base)
        elif container.duration and not container.streams.video:  # else it may be the pictures'
            duration_s = container.duration / 1e6
        self._claimed_s = duration_s if tells_length else None
        if ogg_end_frame and codec.name == "opus":
            self._claimed_s = ogg_end_frame / 48_000  # Opus counts at 48 kHz, whatever its rate
        self.info = AudioInfo(
            sample_rate_hz=codec.sample_rate,
            num_channels=codec.channels,
            duration_s=duration_s,
            format=container.format.name.split(",")[0].upper(),
            encoding=codec.name.removesuffix("float"),  # "mp3float" is one decoder of MP3
        )

    def pieces(self, start: int, stop: int | None) -> Iterator[Waveform]:
        rate, position, end_s = self.info.sample_rate_hz, 0, 0.0
        for frame in self._frames():
            if frame.sample_rate != rate:
                raise InputError(
                    f"{self._name}: changes from {rate} Hz to {frame.sample_rate} Hz"
                    f" at {position / rate:.2f} s: convert it to one rate"
                )
            if position + frame.samples > start:
                last = None if stop is None else stop - position
                yield self._floats(frame)[max(0, start - position) : last]
            position += frame.samples
            end_s = (frame.time or 0.0) + frame.samples / rate  # time stamps count pauses too
            if stop is not None and position >= stop:
                return
        there_s = max(position / rate, end_s)
        if position and self._claimed_s is not None and there_s < self._claimed_s - MISSING_S:
            raise _cut_short(self._name, there_s, self._claimed_s)
        if position <= start:
            raise _past_end(self._name, start / rate, position / rate)

    def _frames(self) -> Iterator[Any]:
        """Decoded frames; like every player, over single bad packets, but not over mostly bad."""
        num_bad = num_frames = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                break
            except av.InvalidDataError:
                num_bad += 1
                continue
            except av.FFmpegError:
                break
            num_frames += len(frames)
            yield from frames
        if num_bad > num_frames:
            raise InputError(f"{self._name}: {NOT_AUDIO}")

    def _floats(self, frame: Any) -> Waveform:
        num_channels = frame.layout.nb_channels
        if frame.format.is_planar and num_channels > 8:  # PyAV reads past the end of its planes
            raise InputError(
                f"{self._name}: has {num_channels} channels: mix them down to 8 or fewer"
            )
        try:
            array = frame.to_ndarray()  # (C, N) if planar, else (1, N * C)
        except ValueError:  # 64-bit integers
            raise InputError(f"{self._name}: {NOT_AUDIO}") from None
        if not frame.format.is_planar:
            array = array.reshape(frame.samples, num_channels).T
        return as_floats(array.T)


@contextmanager
def open_decoder(source: Source, name: str) -> Iterator[Decoder]:
    """The recording, opened by the library that reads it."""
    with ExitStack() as stack:
        file, head = open_source(source, stack)
        decoder = _open_soundfile(file, head, name, stack) or _open_ffmpeg(file, head, name, stack)
        check_form(decoder.info.sample_rate_hz, decoder.info.num_channels, name)
        yield decoder


def _open_soundfile(
    file: Seekable | Pipe, head: bytes, name: str, stack: ExitStack
) -> Decoder | None:
    """The recording through libsndfile, or None where it is not for it."""
    if isinstance(file, Pipe) or not head.startswith(SOUNDFILE_STARTS) or is_mpeg_wav(head):
        return None
    ogg_end_frame = ogg_end(file) if head.startswith(b"OggS") else 0
    try:
        sound_file = stack.enter_context(soundfile.SoundFile(file))
    except soundfile.LibsndfileError:
        return None
    if sound_file.subtype == "OPUS":
        return None
    # No length: a pipe's writer could not go back to fill it in, but FFmpeg reads to the end.
    if not (sound_file.seekable() and 0 < sound_file.frames < 1 << 48):
        return None
    rate = sound_file.samplerate
    claimed_s = sound_file.frames / rate * claimed_ratio(sound_file.extra_info)
    if ogg_end_frame:
        claimed_s = ogg_end_frame / rate
    return _SoundFile(sound_file, name, claimed_s)


def _open_ffmpeg(file: Seekable | Pipe, head: bytes, name: str, stack: ExitStack) -> Decoder:
    options = {"format_whitelist": FFMPEG_FORMATS, "protocol_whitelist": "none"}
    ogg_end_frame = 0
    if isinstance(file, Pipe):
        if head.startswith(b"RIFF"):
            options["probesize"] = "4096"  # else a live recording starts many seconds late
    else:
        file.seek(0)
        ogg_end_frame = ogg_end(file) if head.startswith(b"OggS") else 0
    try:
        container = stack.enter_context(av.open(file, "r", options=options, **TAGS))
    except av.FFmpegError:
        if is_mp4(head):
            raise InputError(
                f"{name}: truncated: the index of this MP4 file is missing: copy the file again"
            ) from None
        raise InputError(f"{name}: {NOT_AUDIO}") from None
    if not container.streams.audio:
        raise InputError(f"{name}: has no sound track")
    if container.streams.audio[0].codec_context is None:
        raise InputError(f"{name}: {NOT_AUDIO}")
    kind = container.format.name.split(",")[0]
    # Elsewhere FFmpeg guesses the duration from the size and the bit rate.
    tells_length = kind in {"mov", "matroska", "wav"} or (kind == "mp3" and mp3_tells_length(head))
    return _FFmpeg(container, name, tells_length=tells_length, ogg_end_frame=ogg_end_frame)


def _cut_short(name: str, there_s: float, claimed_s: float) -> InputError:
    return InputError(
        f"{name}: truncated or damaged: {there_s:.2f} s of {claimed_s:.2f} s can be read:"
        f" copy the file again, or ask only for what is there"
    )


def _past_end(name: str, start_s: float, there_s: float) -> InputError:
    if not there_s:
        return InputError(f"{name}: holds no samples")
    return InputError(f"{name}: offset {start_s:.2f} s is past its end: it lasts {there_s:.2f} s")
