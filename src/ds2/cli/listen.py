"""`ds2 listen`: turns speech from a microphone into text."""

import argparse
import queue
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ds2.cli.options.computing import add_computing
from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.cli.options.live import add_vad, detector, live_text
from ds2.cli.options.model import add_model
from ds2.errors import InputError
from ds2.installation import needing

if TYPE_CHECKING:
    from ds2.audio import Waveform

BLOCK_S = 0.05
"""Seconds of audio in each block from the sound card."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "listen",
        help="turn speech from a microphone into text",
        description="Listen to a microphone and print the text, a line for each segment. A "
        "terminal also shows the current segment while it changes. Press Ctrl-C to stop.",
    )
    add_model(parser)
    parser.add_argument(
        "--device",
        metavar="N|NAME",
        help="microphone to use: its number or name in `python -m sounddevice` "
        "(default: the system's choice)",
    )
    parser.add_argument(
        "--no-endpoints",
        action="store_true",
        help="keep all text in one segment; do not end segments at pauses",
    )
    add_vad(parser)
    add_computing(parser, with_device=False)
    add_decoding(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Listen until the user presses Ctrl-C."""
    from ds2.recognition.endpoint import EndpointRules

    sounddevice = _import_sounddevice()
    recognizer = load_recognizer(args)
    rules = None if args.no_endpoints else EndpointRules()
    stream = recognizer.stream(endpoints=rules, voice=detector(args))
    text = live_text()
    try:
        for block in _record(sounddevice, args.device):
            text.show(stream.feed(block))
    except KeyboardInterrupt:
        stream.finish()
        text.show(stream.take_events())


def _import_sounddevice() -> Any:
    """The module sounddevice. Raises InputError if it or PortAudio is missing."""
    try:
        with needing("listen", told="listening"):
            import sounddevice
    except OSError:  # sounddevice without PortAudio
        raise InputError(
            "listening needs PortAudio, which is not installed: on Linux, install the package "
            "libportaudio2"
        ) from None
    return sounddevice


def _record(sounddevice: Any, device: str | None) -> "Iterator[Waveform]":
    """Endless blocks of (N,) samples at 16 kHz. Raises InputError without a microphone."""
    from ds2.audio import SAMPLE_RATE_HZ

    blocks: queue.Queue[Waveform] = queue.Queue()

    def take(samples: Any, _count: int, _time: Any, _status: Any) -> None:
        blocks.put(samples[:, 0].copy())  # the library uses its buffer again

    chosen = int(device) if device and device.isdecimal() else device
    try:
        microphone = sounddevice.InputStream(
            samplerate=SAMPLE_RATE_HZ,
            blocksize=round(BLOCK_S * SAMPLE_RATE_HZ),
            device=chosen,
            channels=1,
            dtype="float32",
            callback=take,
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"ds2 cannot open the microphone: {reason}: `python -m sounddevice` lists all devices"
        ) from None
    with microphone:
        while True:
            yield blocks.get()
