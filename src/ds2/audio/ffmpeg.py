"""Reads one sound track of nearly any file with FFmpeg, through PyAV, at its film's times."""

import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import av
import numpy as np

from ds2.audio.headers import mp3_tells_length, ogg_end
from ds2.audio.info import MISSING_S, NOT_AUDIO, AudioInfo, cut_short, past_end
from ds2.audio.pcm import as_floats
from ds2.audio.resampling import Waveform
from ds2.audio.riff import STARTS, WavPipe, wav_pipe
from ds2.audio.sources import Pipe, Seekable, is_mp4
from ds2.audio.timeline import PictureClock, Timeline
from ds2.audio.tracks import Track, choose_track, tell_choice
from ds2.errors import InputError

logger = logging.getLogger("ds2.audio")

# PyAV 19 accepts titles in encodings other than UTF-8. Older versions need this option.
IS_STRICT = int(av.__version__.partition(".")[0]) < 19
TAGS: dict[str, Any] = {"metadata_errors": "replace"} if IS_STRICT else {}
# Plain media only: a playlist, for example, would make FFmpeg open other files and URLs.
FFMPEG_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,"
    "tta,w64,wav,wv"
)
PROBING = {"probesize": "100000000", "analyzeduration": "600000000"}
"""Bytes and microseconds to search for sound that begins late and that the container does not
announce. FFmpeg's own limits are a twentieth of these."""
OWN_ZERO = frozenset(["mov", "matroska"])
"""Containers whose time begins at 0. In the others the clock begins anywhere, and a film begins
with its first picture or sound."""
EARLY_S = 0.25  # sound this little before 0 only helps decoders to begin
CLOCKS_JUMP = frozenset(["mpegts", "mpeg"])  # if one broadcast follows another
GUESSED = frozenset(
    ["matroska", "mpeg", "asf"]
)  # they give each track the length of the whole film
SILENCE_FRAMES = 48_000  # of silence in one piece
MOST_LOOKED_AT = 300_000  # packets of a film, to find the starts of its tracks


def open_ffmpeg(
    file: Seekable | Pipe, head: bytes, name: str, wanted: int | str | None, stack: ExitStack
) -> "FFmpegDecoder":
    """Open the recording. Raises InputError.

    head: its first bytes. wanted: the track, as in `choose_track`. stack: closes the recording.
    """
    options = {"format_whitelist": FFMPEG_FORMATS, "protocol_whitelist": "none"}
    ogg_end_frame = 0
    wav = None
    if isinstance(file, Pipe):
        if head.startswith(STARTS):
            options["probesize"] = (
                "4096"  # with more, a live recording would start many seconds late
            )
            wav = wav_pipe(file, head, name)
    elif head.startswith(b"OggS"):
        file.seek(0)
        ogg_end_frame = ogg_end(file)
    container = _open_container(wav or file, head, name, options, stack)
    if not container.streams.audio:  # the sound may begin later than FFmpeg searches
        container = _open_container(file, head, name, options | PROBING, stack)
    if isinstance(file, Pipe):
        file.settle()
    if not container.streams.audio:
        raise InputError(f"{name}: has no sound track: name a file with sound")
    kind = container.format.name.split(",")[0]
    # For other formats FFmpeg guesses the duration from the size and the bit rate.
    tells_length = kind in {"mov", "matroska", "wav"} or (kind == "mp3" and mp3_tells_length(head))
    return FFmpegDecoder(
        container, name, wanted, tells_length=tells_length, ogg_end_frame=ogg_end_frame, wav=wav
    )


def _open_container(
    file: Seekable | Pipe | WavPipe,
    head: bytes,
    name: str,
    options: dict[str, str],
    stack: ExitStack,
) -> Any:
    """Open the container at the file's beginning. Raises InputError."""
    if isinstance(file, Pipe):
        file.rewind()
    elif isinstance(file, Seekable):
        file.seek(0)
    try:
        return stack.enter_context(av.open(file, "r", options=options, **TAGS))
    except av.FFmpegError:
        if is_mp4(head):
            raise InputError(
                f"{name}: truncated: the index of this MP4 file is missing: copy the file again"
            ) from None
        raise InputError(f"{name}: {NOT_AUDIO}") from None


class FFmpegDecoder:
    """A sound track that FFmpeg decodes."""

    def __init__(
        self,
        container: Any,
        name: str,
        wanted: int | str | None,
        *,
        tells_length: bool,
        ogg_end_frame: int = 0,
        wav: WavPipe | None = None,
    ) -> None:
        self._wav = wav
        self._container, self._name, self._wanted = container, name, wanted
        self._format: str = container.format.name.split(",")[0]
        self._zero_s = _film_start_s(container, self._format)
        self._all = tuple(
            _track(stream, index, self._zero_s, self._format)
            for index, stream in enumerate(container.streams.audio)
        )
        self._track = choose_track(self._all, wanted, name)
        self._stream = container.streams.audio[self._track.number - 1]
        if self._stream.codec_context is None:
            raise InputError(f"{name}: {NOT_AUDIO}")
        self._pictures = _pictures(container)
        self._clock = PictureClock() if self._pictures and self._format in CLOCKS_JUMP else None
        self._source = self._frames()
        self._first_s: float | None = None  # stamp of the first packet, after it is read
        self.info = self._info()
        # The end of the sound by the container, in its own time.
        self._claimed_end_s: float | None = None
        if tells_length and self.info.duration_s is not None:
            self._claimed_end_s = self.info.duration_s + self._zero_s
        if ogg_end_frame and self._stream.codec_context.name == "opus":
            self._claimed_end_s = ogg_end_frame / 48_000  # at any sample rate

    def _info(self) -> AudioInfo:
        codec, container = self._stream.codec_context, self._container
        duration_s = None
        if self._wav is not None:
            duration_s = self._wav.claimed_s or None
        elif self._track.duration_s is not None:
            duration_s = (self._track.start_s or 0.0) + self._track.duration_s
        elif container.duration and not self._pictures:  # with pictures, it may be their duration
            duration_s = container.duration / 1e6
        rate_hz, num_channels = codec.sample_rate, codec.channels
        if not rate_hz:  # the sound begins so late that FFmpeg does not know it yet
            first = next(self._source, None)
            if first is None:
                raise past_end(self._name, 0.0, 0.0)
            self._source = itertools.chain([first], self._source)
            rate_hz, num_channels = first.sample_rate, first.layout.nb_channels
        return AudioInfo(
            sample_rate_hz=rate_hz,
            num_channels=num_channels,
            duration_s=duration_s,
            format=self._format.upper(),
            encoding=self._track.encoding,
        )

    def tell(self) -> None:
        tell_choice(self._all, self._track, self._wanted, self._name)

    def tracks(self) -> tuple[Track, ...]:
        streams = self._container.streams.audio
        stamps_s: dict[int, float] = {}
        if self._first_s is not None:
            stamps_s[self._stream.index] = self._first_s
        with suppress(av.FFmpegError, IndexError):  # IndexError: a track that begins later
            for packet in itertools.islice(self._container.demux(streams), MOST_LOOKED_AT):
                index = packet.stream.index
                if packet.pts is not None and index not in stamps_s:
                    stamps_s[index] = float(packet.pts * packet.time_base)
                if len(stamps_s) == len(streams):
                    break
        self._all = tuple(
            replace(
                track,
                num_channels=self.info.num_channels,
                sample_rate_hz=self.info.sample_rate_hz,
            )
            if track.number == self._track.number
            else track
            for track in self._all
        )
        return tuple(
            self._placed(track, stream, stamps_s.get(stream.index))
            for track, stream in zip(self._all, streams, strict=True)
        )

    def _placed(self, track: Track, stream: Any, stamp_s: float | None) -> Track:
        """The track with its length, and with its first packet as its start."""
        if self._format == "mov":  # its index has both
            return track
        start_s = track.start_s if stamp_s is None else max(0.0, stamp_s - self._zero_s)
        if self._format == "matroska":
            length_s = _matroska_length_s(stream.metadata, start_s or 0.0)
            if length_s is None and not self._pictures and self.info.duration_s:
                length_s = self.info.duration_s - (start_s or 0.0)
            track = replace(track, duration_s=length_s)
        return replace(track, start_s=start_s)

    def pieces(self, start: int, stop: int | None) -> Iterator[Waveform]:
        position = 0
        for num_samples, samples in self._timed():
            if position + num_samples > start:
                last = None if stop is None else stop - position
                yield samples()[max(0, start - position) : last]
            position += num_samples
            if stop is not None and position >= stop:
                return
        if position <= start:
            raise past_end(
                self._name, start / self.info.sample_rate_hz, position / self.info.sample_rate_hz
            )

    def _timed(self) -> Iterator[tuple[int, Callable[[], Waveform]]]:
        """The sound from the film's start on, with silence in the gaps.

        Gives for each piece the number of its samples, and a function that makes them.
        """
        rate, timeline = self.info.sample_rate_hz, None
        num_decoded, end_s = 0, 0.0
        for frame in self._source:
            if frame.sample_rate != rate:
                place_s = timeline.position / rate if timeline else 0.0
                raise InputError(
                    f"{self._name}: changes from {rate} Hz to {frame.sample_rate} Hz"
                    f" at {place_s:.2f} s: convert it to one rate"
                )
            if timeline is None:
                zero_s = self._zero_of(frame.time)
                timeline = Timeline(self._name, rate, zero_s, self._clock)
            num_silent, num_left_out = timeline.put(frame.time, frame.samples)
            for place in range(0, num_silent, SILENCE_FRAMES):
                size = min(SILENCE_FRAMES, num_silent - place)
                yield size, partial(self._silence, frame, size)
            if num_left_out < frame.samples:
                yield frame.samples - num_left_out, partial(self._sound, frame, num_left_out)
            num_decoded += frame.samples
            end_s = max(end_s, (frame.time or 0.0) + frame.samples / rate)
        there_s = max((self._track.start_s or 0.0) + self._zero_s + num_decoded / rate, end_s)
        claimed_s = self._wav.claimed_s if self._wav else self._claimed_end_s
        if num_decoded and claimed_s is not None and there_s < claimed_s - MISSING_S:
            raise cut_short(self._name, there_s - self._zero_s, claimed_s - self._zero_s)

    def _zero_of(self, first_s: float | None) -> float:
        """The stamp at which the film begins. first_s: the stamp of the first sound."""
        if self._format in OWN_ZERO or first_s is None:
            return self._zero_s
        others = [stream for stream in self._container.streams if stream is not self._stream]
        return min([first_s, *_starts_s(others)])

    def _silence(self, frame: Any, num_samples: int) -> Waveform:
        return np.zeros((num_samples, frame.layout.nb_channels), np.float32)

    def _sound(self, frame: Any, num_left_out: int) -> Waveform:
        return self._floats(frame)[num_left_out:]

    def _frames(self) -> Iterator[Any]:
        """Decoded frames. This skips single bad packets, as players do. Raises if most are bad."""
        num_bad = num_frames = 0
        packets = self._packets()
        while True:
            try:
                packet = next(packets)
                if packet.stream is not self._stream:
                    if self._clock and packet.dts is not None:
                        self._clock.see(float(packet.dts * packet.time_base))
                    continue
                if self._first_s is None and packet.pts is not None:
                    self._first_s = float(packet.pts * packet.time_base)
                frames = packet.decode()
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

    def _packets(self) -> Iterator[Any]:
        """Packets of the sound, and of the picture if its clock is needed."""
        streams = [self._stream, *(self._pictures[:1] if self._clock else [])]
        is_told = False
        while True:
            try:
                yield from self._container.demux(streams)
                return
            except IndexError:  # PyAV knows only the tracks at the start; read on
                if not is_told:
                    logger.warning(
                        "%s: a track begins in the middle of the file: ds2 leaves it out",
                        self._name,
                    )
                is_told = True

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


def _starts_s(streams: Iterable[Any]) -> list[float]:
    """The stamps at which pictures and sounds begin, as far as the container has them."""
    return [
        float(stream.start_time * stream.time_base)
        for stream in streams
        if stream.type in ("audio", "video")
        and stream.start_time is not None
        and stream.time_base
        and not _is_still(stream)
    ]


def _is_still(stream: Any) -> bool:
    """Whether the stream is a cover picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _pictures(container: Any) -> list[Any]:
    """The streams of moving pictures."""
    return [stream for stream in container.streams.video if not _is_still(stream)]


def _film_start_s(container: Any, form: str) -> float:
    """The stamp that a player shows as 0:00, in the container's time."""
    start_s = min(_starts_s(container.streams), default=0.0)
    return start_s if form not in OWN_ZERO or start_s < -EARLY_S else 0.0


def _track(stream: Any, index: int, zero_s: float, form: str) -> Track:
    codec, tags = stream.codec_context, stream.metadata
    starts_s, duration_s = _starts_s([stream]), None
    if stream.duration and form not in GUESSED:
        duration_s = float(stream.duration * stream.time_base)
    language = tags.get("language", "")
    return Track(
        number=index + 1,
        # "mp3float" is one decoder of MP3
        encoding=codec.name.removesuffix("float") if codec else "unknown",
        num_channels=codec.channels or None if codec else None,
        sample_rate_hz=codec.sample_rate or None if codec else None,
        language=None if language in ("", "und") else language,
        title=tags.get("title") or tags.get("name") or None,
        is_default=bool(stream.disposition & av.stream.Disposition.default),
        start_s=max(0.0, starts_s[0] - zero_s) if starts_s else None,
        duration_s=duration_s,
    )


def _matroska_length_s(tags: Mapping[str, str], start_s: float) -> float | None:
    """The length of a track by its tag. mkvmerge writes the length there, and FFmpeg the end."""
    told = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", tags.get("DURATION", ""))
    if not told:
        return None
    length_s = 3600 * int(told[1]) + 60 * int(told[2]) + float(told[3])
    return length_s if any(key.startswith("_STATISTICS") for key in tags) else length_s - start_s
