"""Test a server with many visitors for a long time: some behave well, some do not.

    python benchmarks/soak.py data/en-dev/manifest.jsonl -m models/en --minutes 30
    python benchmarks/soak.py data/en-dev/manifest.jsonl -m models/en --live 100 --workers 2

It starts a real `ds2 serve` process. Visitors come and go over all protocols except sherpa's,
several at a time. Some leave early, cut the connection, stall, read nothing, send garbage or ask
too much. With several workers, the workers also get signals that are not for them. With --live,
more visitors speak all the time at the speed of real time. The output then has the time that a
piece of their audio waited for its result. At the end the program checks:

- every visitor that behaved got the same text as its recording gives without a server;
- 503 was the only answer that blames the server, and no visitor waited in vain;
- the log has no traceback and no error;
- the memory grew by less than 5% since the first minutes, and no stream or socket is left open;
- SIGTERM to every process at once ends the server with status 0, and a stream that is open then
  still gets all of its words.

If anything was wrong, it prints a list and exits with status 1. Linux only: it reads memory and
sockets from /proc.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import httpx
import numpy as np
from websockets.asyncio.client import connect

from ds2 import Recognizer, read_audio
from ds2.manifest import read_manifest
from ds2.model.bundle import load_bundle
from ds2.recognition.endpoint import EndpointRules
from ds2.transcripts.events import Final
from serve_processes import ServerProcess, ds2_serve, free_port, running
from soak_live import Latencies, speak_live
from soak_visitors import BAD, GOOD, PHRASES, Busy, Recording, Visit

VISIT_S = 180.0
"""A visitor that has no answer after this time has waited in vain."""
SETTLE_S = 300.0
"""Seconds to the first memory figure; in a shorter run, a third of the run."""
SPREAD_S = 3.0
"""Visitors begin at any time in the first seconds, as people do."""
LOOK_S = 2.0
MOST_GROWTH = 0.05
WORTH_JUDGING_S = 120.0
"""Shorter runs only report memory and do not judge it, because caches still fill."""


Behaviour: TypeAlias = Callable[[Visit], Awaitable[None]]


@dataclass
class Findings:
    """The findings of a run."""

    visits: Counter[str] = field(default_factory=Counter)
    num_busy: int = 0
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MB
    latencies: Latencies = field(default_factory=Latencies)  # of visitors at the speed of real time


def main() -> int:
    """Run, report and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--visitors", type=int, default=12, help="visitors at a time (12)")
    parser.add_argument(
        "--live", type=int, default=0, help="more visitors, at the speed of real time (0)"
    )
    parser.add_argument(
        "--recordings", type=int, default=60, help="recordings from the manifest (60)"
    )
    parser.add_argument(
        "--idle-s", type=float, default=10.0, help="the server's idle time-out in seconds (10)"
    )
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the server (1)")
    parser.add_argument("--greedy", action="store_true", help="no search")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    recordings = _recordings(args)
    findings = Findings()
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        port = free_port()
        most_streams = args.visitors + args.live
        options = ["--idle-timeout-s", str(args.idle_s), "--max-streams", str(most_streams)]
        options += ["--workers", str(args.workers)]
        options += ["--greedy"] if args.greedy else []
        with running(ds2_serve(args.model, port, *options), port, log) as server:
            asyncio.run(_soak(server, recordings, findings, args))
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(60)
        if server.process.returncode != 0:
            findings.wrong.append(f"SIGTERM ended it with status {server.process.returncode}")
        findings.wrong += _faults_in(log.read_text(encoding="utf-8", errors="replace"))
    _judge_memory(findings, 60 * args.minutes)
    return _tell(findings, recordings)


def _recordings(args: argparse.Namespace) -> list[Recording]:
    """Some recordings of the manifest, with their transcripts without a server."""
    recognizer = Recognizer.load(args.model, greedy=args.greedy)
    utterances = list(read_manifest(args.manifest))
    random.Random(args.seed).shuffle(utterances)
    recordings = []
    for utterance in utterances[: args.recordings]:
        waveform = read_audio(utterance.audio_path)
        samples = np.clip(np.rint(waveform * 32768), -32768, 32767).astype("<i2")
        heard = samples.astype(np.float32) * np.float32(2**-15)
        stream = recognizer.stream(endpoints=EndpointRules())
        events = stream.feed(heard)
        stream.close()
        events += stream.take_events()
        segments = [event.transcript.text for event in events if isinstance(event, Final)]
        text = recognizer.transcribe(heard).text
        stream = recognizer.stream(phrases=PHRASES)
        stream.feed(heard)
        with_phrases = stream.finish().text
        in_segments = " ".join(filter(None, segments))
        recordings.append(Recording(samples.tobytes(), text, in_segments, with_phrases))
    return recordings


async def _soak(
    server: ServerProcess,
    recordings: list[Recording],
    findings: Findings,
    args: argparse.Namespace,
) -> None:
    begin_s = time.monotonic()
    end_s = begin_s + 60 * args.minutes
    watching = asyncio.create_task(_watch(server, findings, begin_s))
    signalling = asyncio.create_task(_signal_workers(server, findings, args.seed))
    bundle = load_bundle(args.model)
    overlap_s = (bundle.features.window - bundle.features.stride) / bundle.features.sample_rate_hz
    speak = partial(speak_live, latencies=findings.latencies, overlap_s=overlap_s)
    choices = [_any_behaviour] * args.visitors + [lambda _: speak] * args.live
    visitors = [
        asyncio.create_task(
            _visitor(server.port, recordings, findings, choose, args.seed + i, end_s, args.idle_s)
        )
        for i, choose in enumerate(choices)
    ]
    await asyncio.gather(*visitors)
    await asyncio.sleep(1)
    watching.cancel()
    signalling.cancel()
    await _look_for_leftovers(server, findings)
    await _end(server, recordings[0], findings)


async def _signal_workers(server: ServerProcess, findings: Findings, seed: int) -> None:
    """Send signals to workers, but not to their parent; the workers must ignore them."""
    randomness = random.Random(seed)
    while True:
        await asyncio.sleep(randomness.uniform(5, 20))
        for process_id in server.process_ids()[1:]:
            if randomness.random() < 0.5:
                os.kill(process_id, randomness.choice([signal.SIGINT, signal.SIGTERM]))
                findings.visits["(a signal to a worker)"] += 1


async def _end(server: ServerProcess, recording: Recording, findings: Findings) -> None:
    """Send SIGTERM to all processes, as a service manager does, while somebody speaks."""
    half = len(recording.samples) // 4 * 2
    async with connect(f"ws://127.0.0.1:{server.port}/v1/stream") as client:
        await client.send('{"type": "start", "endpoints": false, "partials": false}')
        await client.recv()
        await client.send(recording.samples[:half])
        for process_id in server.process_ids():
            os.kill(process_id, signal.SIGTERM)
        await asyncio.sleep(2)
        await client.send(recording.samples[half:])
        await client.send('{"type": "finish"}')
        messages = [json.loads(message) async for message in client]
    texts = [message["text"] for message in messages if message["type"] == "final"]
    if texts != [recording.text]:
        findings.wrong.append(f"the visitor at the end got {texts}, not {recording.text!r}")


async def _visitor(
    port: int,
    recordings: list[Recording],
    findings: Findings,
    choose: Callable[[random.Random], Behaviour],
    seed: int,
    end_s: float,
    idle_s: float,
) -> None:
    """Make visits one after the other. choose: gives the behaviour of each."""
    randomness = random.Random(seed)
    await asyncio.sleep(randomness.uniform(0, SPREAD_S))
    while time.monotonic() < end_s:
        behave = choose(randomness)
        name = getattr(behave, "__name__", speak_live.__name__)
        visit = Visit(port, randomness.choice(recordings), randomness, idle_s)
        try:
            async with asyncio.timeout(VISIT_S):
                await behave(visit)
            findings.visits[name] += 1
        except Busy:
            findings.num_busy += 1
            await asyncio.sleep(randomness.uniform(0, 0.5))
        except Exception as error:  # any error belongs on the list
            findings.wrong.append(f"{name}: {type(error).__name__}: {error}")
            print(f"WRONG: {findings.wrong[-1]}", file=sys.stderr, flush=True)
            await asyncio.sleep(0.2)


def _any_behaviour(randomness: random.Random) -> Behaviour:
    """Two good ones for each bad one."""
    return randomness.choice(randomness.choice([GOOD, GOOD, BAD]))


async def _watch(server: ServerProcess, findings: Findings, begin_s: float) -> None:
    """Record memory at intervals; print a line each minute."""
    next_line_s = 60.0
    while True:
        await asyncio.sleep(LOOK_S)
        now_s = time.monotonic() - begin_s
        findings.memory.append((now_s, server.resident_mb()))
        if now_s >= next_line_s:
            next_line_s += 60
            print(
                f"{now_s / 60:.0f} min: {sum(findings.visits.values())} visits, "
                f"{len(findings.wrong)} wrong, {findings.memory[-1][1]:.1f} MB"
                f"{_told_latencies(findings.latencies)}",
                file=sys.stderr,
                flush=True,
            )


def _told_latencies(latencies: Latencies) -> str:
    if not latencies.num_pieces:
        return ""
    half, most = latencies.milliseconds(0.5, 0.98)
    return f", live results after {half:.0f} ms, 98th percentile {most:.0f} ms"


async def _look_for_leftovers(server: ServerProcess, findings: Findings) -> None:
    """Report streams and sockets that are open without a visitor."""
    num_streams, sockets = -1, []
    for _ in range(40):
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{server.port}/metrics")
        lines = [line for line in answer.text.splitlines() if line.startswith("ds2_streams{")]
        num_streams = sum(int(float(line.split()[-1])) for line in lines)
        sockets = _connections(server)
        if num_streams == 0 and not sockets:
            return
        await asyncio.sleep(0.25)
    findings.wrong.append(f"left open: {num_streams} streams, {len(sockets)} connections")


def _connections(server: ServerProcess) -> list[str]:
    """The server's established connections, from /proc."""
    inodes = set()
    places = (Path(f"/proc/{process_id}/fd") for process_id in server.process_ids())
    for entry in (entry for place in places for entry in place.iterdir()):
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    return [row[2] for row in rows if row[9] in inodes and row[3] != "0A"]  # 0A: a listening socket


def _faults_in(log: str) -> list[str]:
    """Report lines of the log with an error."""
    faults = []
    for line in log.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            faults.append(
                f"log: {line[:300]}"
            )  # a traceback outside the log's format, or a warning
            continue
        if record["level"] not in ("info", "debug") or "exception" in record:
            faults.append(f"log: {line[:2000]}")
        elif record.get("status", 0) >= 500 and record["status"] != 503:
            faults.append(f"log: {line[:300]}")
    return faults


def _judge_memory(findings: Findings, seconds: float) -> None:
    first_mb, last_mb = _memory_at(findings, seconds)
    growth = last_mb / first_mb - 1
    if seconds >= WORTH_JUDGING_S and growth > MOST_GROWTH:
        findings.wrong.append(f"memory: {first_mb:.1f} MB, in the end {last_mb:.1f} MB")


def _memory_at(findings: Findings, seconds: float) -> tuple[float, float]:
    """MB after the start, and at the end; medians of a minute, or of a tenth of a short run."""
    settled_s, width_s = min(SETTLE_S, seconds / 3), min(60.0, seconds / 10)
    memory = findings.memory
    early = [mb for at_s, mb in memory if settled_s <= at_s <= settled_s + width_s]
    late = [mb for at_s, mb in memory if at_s >= seconds - width_s]
    fallback = [mb for _, mb in memory] or [float("nan")]
    return statistics.median(early or fallback), statistics.median(late or fallback)


def _tell(findings: Findings, recordings: list[Recording]) -> int:
    for name, number in sorted(findings.visits.items()):
        print(f"{number:6d} {name}")
    print(f"{findings.num_busy:6d} turned away by a full server")
    at_s = findings.memory[-1][0] if findings.memory else 0.0
    first_mb, last_mb = _memory_at(findings, at_s)
    print(
        f"{len(recordings)} recordings, {sum(map(bool, (r.text for r in recordings)))} with words; "
        f"memory {first_mb:.1f} MB, in the end {last_mb:.1f} MB"
        f"{_told_latencies(findings.latencies)}"
    )
    for kind, number in Counter(findings.wrong).most_common(50):
        print(f"WRONG, {number} times: {kind}")
    print("nothing wrong" if not findings.wrong else f"{len(findings.wrong)} things wrong")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
