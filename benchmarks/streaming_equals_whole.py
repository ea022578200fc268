"""Check that a stream gives the same result as the whole recording, however its audio is cut.

    python benchmarks/streaming_equals_whole.py data/en-dev/manifest.jsonl -m models/en

It transcribes every recording whole, and as a stream in pieces of 20 ms and in random pieces of up
to a second (sometimes an empty piece). Text, words and times must be equal, and confidences must be
equal to 1e-3. With --server it does the same through a server process and its batches. If any
recording differs, it prints a list and exits with status 1.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ds2 import Recognizer, Transcript, read_audio
from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.client import RemoteStream, connect
from ds2.manifest import read_manifest
from ds2.transcripts.events import Final
from serve_processes import ds2_serve, free_port, running

STYLES = ("20 ms", "random")
CONFIDENCE_TOLERANCE = 1e-3
AT_ONCE = 8
"""Number of streams at the server at a time; they share its batches."""


@dataclass
class Tally:
    """The comparison of a way of streaming."""

    num_recordings: int = 0
    num_words: int = 0
    largest_confidence_gap: float = 0.0
    differences: list[str] = field(default_factory=list)

    def add(self, name: str, whole: Transcript, streamed: Transcript) -> None:
        """Count a recording; `name` is its name in the list."""
        self.num_recordings += 1
        self.num_words += len(whole.words)
        if difference := _difference(whole, streamed):
            self.differences.append(f"{name}: {difference}")
            return
        for one, other in zip(whole.words, streamed.words, strict=True):
            gap = abs(one.confidence - other.confidence)
            self.largest_confidence_gap = max(self.largest_confidence_gap, gap)


def main() -> int:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument(
        "--first",
        type=int,
        help="number of recordings from the start of the manifest (default: all)",
    )
    parser.add_argument("--server", action="store_true", help="also stream through a server")
    parser.add_argument("--seed", type=int, default=0)
    add_decoding(parser)
    args = parser.parse_args()
    if args.server and any(
        getattr(args, name, None) for name in ("lm", "no_lm", "hot_phrase", "hot_phrases")
    ):
        parser.error("--server: give it with --greedy, or use the bundle's own settings")
    recognizer = load_recognizer(args)
    utterances = list(read_manifest(args.manifest))[: args.first]
    tallies = {style: Tally() for style in STYLES}
    wholes: dict[str, Transcript] = {}
    for utterance in utterances:
        waveform, name = _heard(utterance.audio_path), str(utterance.audio_path)
        wholes[name] = recognizer.transcribe(waveform)
        for style in STYLES:
            streamed = _streamed(recognizer, _pieces(waveform, style, f"{args.seed} {name}"))
            tallies[style].add(name, wholes[name], streamed)
    num_differences = _tell(tallies)
    if args.server:
        by_server = {f"server, {style}": _by_server(args, wholes, style) for style in STYLES}
        num_differences += _tell(by_server)
    return 1 if num_differences else 0


def _heard(path: Path | str) -> Waveform:
    """A recording, rounded to 16-bit samples."""
    rounded = np.clip(np.rint(read_audio(path) * 32768), -32768, 32767)
    return np.asarray(rounded / 32768, np.float32)


def _pieces(waveform: Waveform, style: str, seed: str) -> Iterator[Waveform]:
    randomness = random.Random(seed)
    start = 0
    while start < len(waveform):
        most = randomness.choice([1, 100, 3000, SAMPLE_RATE_HZ])
        size = SAMPLE_RATE_HZ // 50 if style == "20 ms" else randomness.randrange(most + 1)
        yield waveform[start : start + size]
        start += size


def _streamed(recognizer: Recognizer, pieces: Iterator[Waveform]) -> Transcript:
    stream = recognizer.stream()
    for piece in pieces:
        stream.feed(piece)
    return stream.finish()


def _by_server(args: argparse.Namespace, wholes: dict[str, Transcript], style: str) -> Tally:
    """Stream all recordings through `ds2 serve`, several at once."""
    tally = Tally()
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        port = free_port()
        options = ["--greedy"] if args.greedy else []
        stack.enter_context(running(ds2_serve(args.model, port, *options), port, log))
        streamed = asyncio.run(_all_streamed(port, [*wholes], style, args.seed))
    for (name, whole), transcript in zip(wholes.items(), streamed, strict=True):
        tally.add(name, whole, transcript)
    return tally


async def _all_streamed(port: int, names: list[str], style: str, seed: int) -> list[Transcript]:
    room = asyncio.Semaphore(AT_ONCE)

    async def streamed(name: str) -> Transcript:
        async with room, connect(f"ws://127.0.0.1:{port}", endpoints=False) as stream:
            pieces = _pieces(_heard(name), style, f"{seed} {name}")
            sending = asyncio.create_task(_send(stream, pieces))
            finals = [event.transcript async for event in stream if isinstance(event, Final)]
            await sending
        (final,) = finals
        return final

    return await asyncio.gather(*map(streamed, names))


async def _send(stream: RemoteStream, pieces: Iterator[Waveform]) -> None:
    for piece in pieces:
        await stream.send(piece)
    await stream.finish()


def _difference(whole: Transcript, streamed: Transcript) -> str:
    """The differences in words; empty if there are none."""
    if whole.text != streamed.text:
        return f'"{whole.text}", streamed "{streamed.text}"'
    if whole.duration_s != streamed.duration_s:
        return f"lasts {whole.duration_s} s, streamed {streamed.duration_s} s"
    for one, other in zip(whole.words, streamed.words, strict=True):
        if (one.text, one.start_s, one.end_s) != (other.text, other.start_s, other.end_s):
            return f"{one}, streamed {other}"
        if abs(one.confidence - other.confidence) > CONFIDENCE_TOLERANCE:
            return f"confidence of {one}, streamed {other}"
    return ""


def _tell(tallies: dict[str, Tally]) -> int:
    """Print a table and the differences; return their number."""
    print("\n| pieces | recordings | words | differ | confidences differ by up to |")
    print("|---|---|---|---|---|")
    for style, tally in tallies.items():
        gap = f"{tally.largest_confidence_gap:.1e}"
        row = f"{tally.num_recordings} | {tally.num_words} | {len(tally.differences)} | {gap}"
        print(f"| {style} | {row} |")
    for style, tally in tallies.items():
        for difference in tally.differences:
            print(f"{style}: {difference}")
    return sum(len(tally.differences) for tally in tallies.values())


if __name__ == "__main__":
    sys.exit(main())
