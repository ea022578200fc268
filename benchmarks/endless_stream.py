"""Measure the memory of one stream through hours of speech, and print a table.

    python benchmarks/endless_stream.py data/en-dev/manifest.jsonl -m en --hours 10

The recordings go through one stream again and again, with endpoints, in pieces of 100 ms and as
fast as possible. Linux only: it reads the resident memory from /proc.
"""

import argparse
import itertools
import time
from pathlib import Path

from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.manifest import read_manifest
from ds2.recognition.endpoint import EndpointRules
from ds2.transcripts.events import Final

PIECE = SAMPLE_RATE_HZ // 10
FIRST_LOOK_S = 600.0
LOOK_S = 1800.0


def main() -> None:
    """Feed the stream, and print its memory at intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--hours", type=float, default=10.0)
    add_decoding(parser)
    args = parser.parse_args()
    stream = load_recognizer(args).stream(endpoints=EndpointRules())
    waveforms = [read_audio(utterance.audio_path) for utterance in read_manifest(args.manifest)]
    print(
        "| hours of audio | segments | words | MB resident | of the first |\n|---|---|---|---|---|"
    )
    num_segments = num_words = 0
    heard_s, next_look_s, first_mb = 0.0, FIRST_LOOK_S, 0.0
    start_s = time.monotonic()
    for waveform in itertools.cycle(waveforms):
        for start in range(0, len(waveform), PIECE):
            for event in stream.feed(waveform[start : start + PIECE]):
                if isinstance(event, Final):
                    num_segments += 1
                    num_words += len(event.transcript.words)
        heard_s += len(waveform) / SAMPLE_RATE_HZ
        if heard_s >= next_look_s:
            resident_mb = _resident_mb()
            first_mb = first_mb or resident_mb
            hours = heard_s / 3600
            row = f"{hours:.2f} | {num_segments} | {num_words} | {resident_mb:.1f}"
            print(f"| {row} | {100 * resident_mb / first_mb:.1f}% |", flush=True)
            next_look_s += LOOK_S
        if heard_s >= 3600 * args.hours:
            break
    print(f"{heard_s / (time.monotonic() - start_s):.0f} x real time")


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
