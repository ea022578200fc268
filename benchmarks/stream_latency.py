"""Measure how long one live stream waits for its text on one core, with and without language model.

    python benchmarks/stream_latency.py -m models/en data/en-dev/manifest.jsonl
    python benchmarks/stream_latency.py -m models/zh data/zh-dev/manifest.jsonl

Recordings go through `Recognizer.stream` in pieces, as from a microphone but without waiting, with
one thread. The time of a piece is the time from its last sample to its events. The time of the end
is the time from the very last sample to the last text. All are CPU times, so that other work on the
machine matters little. "seen after" adds the times that no computer can remove: the audio that an
output needs after its moment, and the wait until the piece is full.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ds2 import Recognizer
from ds2.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from ds2.manifest import read_manifest
from figures import Figure, keep


def main() -> None:
    """Print a table, a row for each way to decode and length of piece."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--utterances", type=int, default=100, help="the first so many (100)")
    parser.add_argument("--pieces", type=int, nargs="+", default=[60, 210], help="ms (60 210)")
    args = parser.parse_args()
    utterances = read_manifest(args.manifest)[: args.utterances]
    waveforms = [read_audio(utterance.audio_path) for utterance in utterances]
    audio_s = sum(map(len, waveforms)) / SAMPLE_RATE_HZ
    print(f"{args.model}: {len(waveforms)} utterances, {audio_s:.0f} s, one thread\n")
    print("| decoding | piece ms | median ms | p98 ms | the end, median ms | seen after ms | RTF |")
    print("|---|---|---|---|---|---|---|")
    for name in ("greedy", "language model"):
        recognizer = Recognizer.load(args.model, greedy=name == "greedy")
        for piece_ms in args.pieces:
            _waits(recognizer, waveforms[0], piece_ms)  # compiles and warms
            pieces, ends = [], []
            for waveform in waveforms:
                *waits, end = _waits(recognizer, waveform, piece_ms)
                pieces += waits
                ends.append(end)
            ahead_ms = 1000 * (recognizer.bundle.latency_s or 0.0)
            title = f"latency of a piece of {piece_ms} ms, {name}"
            keep(Figure(title, "CPU ms", statistics.median(pieces)))
            keep(Figure(f"RTF, {piece_ms} ms, {name}", "", sum(pieces + ends) / 1000 / audio_s))
            seen_ms = ahead_ms + piece_ms + statistics.median(pieces)
            print(
                f"| {name} | {piece_ms} | {statistics.median(pieces):.1f} | "
                f"{np.percentile(pieces, 98):.1f} | {statistics.median(ends):.1f} | "
                f"{seen_ms:.0f} | {sum(pieces + ends) / 1000 / audio_s:.4f} |",
                flush=True,
            )


def _waits(recognizer: Recognizer, waveform: Waveform, piece_ms: int) -> Sequence[float]:
    """CPU milliseconds for each piece, and for the end."""
    size = piece_ms * SAMPLE_RATE_HZ // 1000
    stream = recognizer.stream(chunk_s=piece_ms / 1000)
    waits = []
    for start in range(0, len(waveform), size):
        before = time.process_time_ns()
        stream.feed(waveform[start : start + size])
        waits.append((time.process_time_ns() - before) / 1e6)
    before = time.process_time_ns()
    stream.finish()
    return [*waits, (time.process_time_ns() - before) / 1e6]


if __name__ == "__main__":
    main()
