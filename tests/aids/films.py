"""Make films with late sound, pauses or wrong time stamps, and WAV files with wrong lengths."""

import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE_HZ = 48_000
SOUND_S = 3.0
CODECS = {
    "mp4": "aac",
    "mov": "aac",
    "matroska": "pcm_s16le",
    "webm": "libopus",
    "mpegts": "mp2",
    "flv": "aac",
    "asf": "wmav2",
}
"""Settings for the films in each container."""

Shift = Callable[[float], float | None]
"""From a packet's time in seconds to the time to add; None leaves the packet out."""


def bursts(rate_hz: int = RATE_HZ) -> np.ndarray:
    """3 s of sound, (N,) float32, which begins at once and is loud everywhere."""
    t = np.arange(round(SOUND_S * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def film(
    container: str,
    shifts: Sequence[Shift] = (lambda _: 0.0,),
    *,
    picture_s: float = 20.0,
    languages: Sequence[str] = (),
    default: int = 0,
    sound: np.ndarray | None = None,
    rate_hz: int = RATE_HZ,
) -> bytes:
    """A film with a sound track for each of the shifts.

    sound: (N,) or (N, 2) float32, in place of `bursts`.
    picture_s: how long its picture lasts, from 0 on; 0 makes none.
    """
    file = io.BytesIO()
    layout = "mono" if sound is None or sound.ndim == 1 else "stereo"
    with av.open(file, "w", format=container) as output:
        timed: list[tuple[float, Any]] = []
        streams = []
        for index, _ in enumerate(shifts):
            stream = output.add_stream(CODECS[container], rate=rate_hz, layout=layout)
            stream.bit_rate = 64_000
            if languages:
                stream.metadata["language"] = languages[index]
            if len(shifts) > 1:
                flags = av.stream.Disposition
                stream.disposition = flags.default if index == default else flags(0)
            streams.append(stream)
        picture = _picture_stream(output, container) if picture_s else None
        for stream, shift in zip(streams, shifts, strict=True):
            timed += _sound_packets(stream, shift, bursts() if sound is None else sound)
        if picture is not None:
            timed += _picture_packets(picture, picture_s)
        for _, packet in sorted(timed, key=lambda pair: pair[0]):
            output.mux(packet)
    return file.getvalue()


def _sound_packets(stream: Any, shift: Shift, sound: np.ndarray) -> list[tuple[float, Any]]:
    form = stream.codec_context.format.name
    samples, rate_hz = np.atleast_2d(sound.T), stream.rate  # (C, N)
    if "s16" in form:
        samples = (samples * 32767).astype(np.int16)
    if not form.endswith("p"):
        samples = samples.T.reshape(1, -1)  # interleaved
    layout = stream.codec_context.layout.name
    samples = np.ascontiguousarray(samples)
    frame = av.AudioFrame.from_ndarray(samples, format=form, layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    size = stream.codec_context.frame_size or 960
    fifo = av.AudioFifo()
    fifo.write(frame)
    frames = list(fifo.read_many(size, partial=True))
    packets = [packet for piece in [*frames, None] for packet in stream.encode(piece)]
    timed = []
    for packet in packets:
        time_s = float(packet.pts * packet.time_base)
        added_s = shift(time_s)
        if added_s is None:
            continue
        added = round(added_s / packet.time_base)
        packet.pts, packet.dts = packet.pts + added, packet.dts + added
        timed.append((time_s + added_s, packet))
    return timed


def _picture_stream(output: Any, container: str) -> Any:
    codec = {"webm": "libvpx", "mpegts": "mpeg2video", "asf": "wmv2", "flv": "flv"}
    return output.add_stream(
        codec.get(container, "mpeg4"), rate=25, width=32, height=32, pix_fmt="yuv420p"
    )


def _picture_packets(stream: Any, picture_s: float) -> list[tuple[float, Any]]:
    packets = []
    for index in range(round(picture_s * 25)):
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return [(float(packet.dts * packet.time_base), packet) for packet in packets]


def wav(
    samples: np.ndarray,
    *,
    told: int | None = None,
    riff: int | None = None,
    num_channels: int = 1,
    after: bytes = b"",
    long: bytes = b"",
) -> bytes:
    """A 16 kHz 16-bit WAV file; told, riff: the lengths in its header, in bytes.

    after: chunks that follow the samples. long: the body of RF64's chunk of lengths.
    """
    body = samples.astype("<i2").tobytes()
    told = len(body) if told is None else told
    riff = 36 + len(body) + len(after) if riff is None else riff
    width = 2 * num_channels
    form = struct.pack("<HHIIHH", 1, num_channels, 16_000, 16_000 * width, width, 16)
    ds64 = b"ds64" + struct.pack("<I", len(long)) + long if long else b""
    return (
        struct.pack("<4sI4s", b"RF64" if long else b"RIFF", riff, b"WAVE")
        + ds64
        + struct.pack("<4sI", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", told)
        + body
        + after
    )
