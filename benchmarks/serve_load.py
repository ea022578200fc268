"""Measure how many live streams a server carries on one core, and how long they wait for results.

    python benchmarks/serve_load.py data/en-dev/manifest.jsonl -m models/en
    python benchmarks/serve_load.py MANIFEST -m models/en --workers 2 --streams 150 --no-search
    python benchmarks/serve_load.py MANIFEST -m models/en --source before=OLD/src --source now=src
    python benchmarks/serve_load.py MANIFEST -m models/en --peer vosk=MODEL_DIR \
        --vosk-server asr_server.py --peers-python PY

Every stream sends real speech, from a random place on, at the speed of real time. The servers have
one core, and the load generator has another. All servers run in one session and take turns: only
one server has work at a time. Ours runs with Batch Dispatch and with steps of one stream, greedy
and with the model's language model. A peer runs with its own model.

A latency is the time that a piece of audio waits for the server: from the moment when its last
sample is due to be sent, to the arrival of the result that covers it. For our server a piece is a
chunk of the model. vosk-server replies to each message, so there a piece is a message. The audio
that the model itself must hear first (the chunk, its lookahead) is the same under any load, so it
is reported separately. "its core" and "others" are the shares of the servers' core that the server
and everything else on the machine took. "CPU" is the server's processor time in milliseconds for a
second of audio that it answered: other programs on the machine change it little. With --workers
above 1 the servers may use all cores, beside the load generator, and the shares are sums over
cores. --source compares versions of ds2. Linux only.
"""

import argparse
import asyncio
import gc
import itertools
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from ds2.audio import read_audio
from ds2.files import atomic_write
from ds2.manifest import read_manifest
from ds2.model.bundle import Bundle, find_bundle, load_bundle
from ds2.serving.config import ServeSettings
from figures import Figure, keep
from serve_processes import ServerProcess, busy_s, ds2_serve, free_port, running
from serve_streams import Load, Ours, Speech, Vosk, run_load

GOOD_S = 0.2
"""The highest 98th percentile that is good enough for a stream, in seconds."""
DISTURBED = 0.1
"""If other work takes this share of the servers' core, a run says little."""
HOPELESS_S = 1.0
"""A server with this latency gets no larger numbers of streams."""
MOST_SPEECH_S = 1800.0
DECODING = {"greedy": ["--greedy"], "lm": []}


@dataclass
class Contender:
    """A server, and its results."""

    name: str
    server: ServerProcess
    protocol: Ours | Vosk
    loads: dict[int, Load] = field(default_factory=dict)  # by number of streams

    @property
    def num_good(self) -> int:
        """The largest number of streams below the limit, if all smaller numbers are below, too."""
        return max((n for n in self.loads if self._is_good_up_to(n)), default=0)

    @property
    def num_bad(self) -> int | None:
        """The smallest number of streams above the limit; None if there is none."""
        return min((n for n, load in self.loads.items() if load.p98_s > GOOD_S), default=None)

    @property
    def is_hopeless(self) -> bool:
        return any(load.p98_s > HOPELESS_S for load in self.loads.values())

    def _is_good_up_to(self, num_streams: int) -> bool:
        return all(load.p98_s <= GOOD_S for n, load in self.loads.items() if n <= num_streams)

    def next_guess(self, most: int) -> int | None:
        """The next number of streams to find the limit; None: the limit is found."""
        good, bad = self.num_good, self.num_bad
        if bad is None:
            return min(most, 2 * good) if good < most else None
        return (good + bad) // 2 if bad - good > max(1, good // 10) else None


def main() -> None:
    """Measure, and print a table."""
    args = _arguments()
    bundle = load_bundle(find_bundle(args.model))
    speech = _speech(args.manifest)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("needs two cores: one for the servers, one for the load generator")
    core = cores[0] if args.workers == 1 else None
    if core is not None:
        os.sched_setaffinity(0, {cores[1]})
    gc.freeze()
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        _contenders(args, bundle, core) as contenders,
    ):
        _measure(runner, contenders, speech, core, args)
    _print(contenders, bundle, args)
    if args.json:
        with atomic_write(args.json) as file:
            json.dump([_as_json(each) for each in contenders], file, indent=1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--streams", default="1,10,20,40,80", help="how many, parted by commas")
    parser.add_argument("--seconds", type=float, default=10.0, help="counted of each run (10)")
    parser.add_argument("--message-ms", type=float, default=100.0, help="audio in a message (100)")
    parser.add_argument("--chunk-ms", help="of our servers (their usual)")
    parser.add_argument("--batch-sizes", default="32,1", help="of our servers (32,1)")
    parser.add_argument("--workers", type=int, default=1, help="of our servers (1)")
    parser.add_argument("--source", action="append", default=[], metavar="NAME=SRC")
    parser.add_argument("--decoding", nargs="+", choices=[*DECODING], default=[*DECODING])
    parser.add_argument("--no-search", action="store_true", help="only the --streams asked for")
    parser.add_argument("--most", type=int, default=320, help="streams the search goes up to (320)")
    parser.add_argument("--peer", action="append", default=[], metavar="vosk=MODEL_DIR")
    parser.add_argument("--vosk-server", type=Path, help="its websocket/asr_server.py")
    parser.add_argument("--peers-python", default=sys.executable, help="which can run it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    args.streams = sorted(int(each) for each in args.streams.split(","))
    args.source = [source.partition("=")[::2] for source in args.source] or [("ds2", "")]
    for peer in args.peer:
        if not peer.startswith("vosk=") or not args.vosk_server:
            parser.error(f"--peer {peer}: must be vosk=MODEL_DIR, and --vosk-server given")
    return args


def _speech(manifest: Path) -> Speech:
    """Half an hour of the recordings in random order."""
    utterances = list(read_manifest(manifest))
    random.Random(0).shuffle(utterances)
    waveforms, audio_s = [], 0.0
    for utterance in utterances:
        if audio_s > MOST_SPEECH_S:
            break
        waveforms.append(read_audio(utterance.audio_path))
        audio_s += len(waveforms[-1]) / 16_000
    samples = np.clip(np.rint(np.concatenate(waveforms) * 32768), -32768, 32767)
    return Speech(samples.astype("<i2").tobytes())


@contextmanager
def _contenders(
    args: argparse.Namespace, bundle: Bundle, core: int | None
) -> Iterator[list[Contender]]:
    """Start all servers."""
    features = bundle.features
    ours = Ours((features.window - features.stride) / features.sample_rate_hz)
    kinds = [k for k in args.decoding if k == "greedy" or bundle.lm]
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = []
        for kind, batch_size, (source, path) in itertools.product(
            kinds, args.batch_sizes.split(","), args.source
        ):
            name = "one by one" if batch_size == "1" else f"batches up to {batch_size}"
            options = [*DECODING[kind], "--batch-size", batch_size, "--max-streams", "1000"]
            if args.workers > 1:
                options += ["--workers", str(args.workers)]
            if args.chunk_ms:
                options += ["--chunk-ms", args.chunk_ms]
            port = free_port()
            command = ds2_serve(args.model, port, *options)
            environment = {"PYTHONPATH": str(Path(path).absolute())} if path else {}
            server = running(command, port, logs / f"{port}.log", core, environment)
            contenders.append(
                Contender(f"{source} {kind}, {name}", stack.enter_context(server), ours)
            )
        for peer in args.peer:
            port = free_port()
            command = [args.peers_python, str(args.vosk_server), peer.partition("=")[2]]
            environment = {"VOSK_SERVER_PORT": str(port), "VOSK_SERVER_INTERFACE": "127.0.0.1"}
            server = running(command, port, logs / f"{port}.log", core, environment)
            contenders.append(Contender("vosk-server", stack.enter_context(server), Vosk()))
        yield contenders


def _measure(
    runner: asyncio.Runner,
    contenders: Sequence[Contender],
    speech: Speech,
    core: int | None,
    args: argparse.Namespace,
) -> None:
    """Run the given numbers of streams, then numbers that narrow down the limits.

    If other work on the servers' core disturbed a run, it runs again, and the better run counts.
    """
    randomness = random.Random(args.seed)

    def run(contender: Contender, num_streams: int) -> None:
        load = once(contender, num_streams, args.seconds)
        if load.others_share > DISTURBED and load.p98_s > GOOD_S:
            load = min(
                load, once(contender, num_streams, args.seconds), key=lambda each: each.p98_s
            )
        contender.loads[num_streams] = load

    def once(contender: Contender, num_streams: int, seconds: float) -> Load:
        load = runner.run(
            run_load(
                contender.server.port,
                contender.protocol,
                speech,
                num_streams,
                seconds,
                args.message_ms / 1000,
                lambda: (contender.server.cpu_s(), busy_s(core)),
                randomness,
            )
        )
        told = " ".join(f"{each:7.1f}" for each in load.milliseconds())
        late_ms = 1000 * np.quantile(load.late_s, 0.98) if len(load.late_s) else 0
        print(
            f"{contender.name:28} {num_streams:4d} streams: {told} ms; "
            f"core {load.core_share:.2f}, others {load.others_share:.2f}, "
            f"{1000 * load.cost:.2f} ms CPU/s, "
            f"sent late by {late_ms:.1f} ms"
            + (f"; {len(load.errors)} broke: {load.errors[0]}" if load.errors else ""),
            file=sys.stderr,
            flush=True,
        )
        return load

    for contender in contenders:  # the first streams of a server are not measured
        once(contender, 4, 2.0)
    for num_streams in args.streams:
        for contender in contenders:
            if not contender.is_hopeless:
                run(contender, num_streams)
    while not args.no_search:
        guesses = [(each, guess) for each in contenders if (guess := each.next_guess(args.most))]
        if not guesses:
            break
        for contender, guess in guesses:
            run(contender, guess)


def _print(contenders: Sequence[Contender], bundle: Bundle, args: argparse.Namespace) -> None:
    table = Table(title=f"milliseconds until the result; {args.message_ms:g} ms of audio a message")
    for heading in (
        "server",
        "streams",
        "median",
        "p95",
        "p98",
        "p99",
        "its core",
        "others",
        "CPU",
        "broke",
    ):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for contender in contenders:
        for num_streams, load in sorted(contender.loads.items()):
            cells = [f"{each:.0f}" for each in load.milliseconds()]
            cells += [f"{100 * each:.0f}%" for each in (load.core_share, load.others_share)]
            cells.append(f"{1000 * load.cost:.1f}")
            table.add_row(contender.name, str(num_streams), *cells, str(len(load.errors) or ""))
        table.add_section()
    limits = Table(title=f"most streams with 98 of 100 results within {1000 * GOOD_S:.0f} ms")
    limits.add_column("server")
    limits.add_column("streams", justify="right")
    for contender in contenders:
        more = "" if contender.num_bad else " or more"
        limits.add_row(contender.name, f"{contender.num_good}{more}")
    _keep(contenders)
    console = Console(width=100)
    console.print(table)
    console.print(limits)
    chunk = args.chunk_ms or f"{ServeSettings().chunk_ms:g}"
    console.print(
        f"These figures do not have the time that is the same under any load: our model hears "
        f"{bundle.latency_s:g} s ahead, and gathers chunks ({chunk} ms)."
    )


def _keep(contenders: Sequence[Contender]) -> None:
    """Keep the numbers of streams and the latencies of our servers with batches and their peers."""
    for ours in (each for each in contenders if "batches" in each.name):
        kind = ours.name.partition(",")[0].removeprefix("ds2 ")
        for peer in contenders:
            if peer.name not in (f"ds2 {kind}, one by one", "vosk-server"):
                continue
            most = [float(each.num_good) for each in (ours, peer)]
            keep(Figure(f"live streams in 200 ms, {kind}", "", most[0], peer.name, most[1], True))
            for num_streams in sorted(ours.loads.keys() & peer.loads.keys()):
                late = [each.loads[num_streams].milliseconds()[2] for each in (ours, peer)]
                title = f"98th percentile, {num_streams} streams, {kind}"
                keep(Figure(title, "ms", late[0], peer.name, late[1]))


def _as_json(contender: Contender) -> dict[str, object]:
    return {
        "server": contender.name,
        "streams_within_200_ms": contender.num_good,
        "loads": [
            {
                "streams": num_streams,
                "median_ms, p95_ms, p98_ms, p99_ms": load.milliseconds(),
                "core_share": load.core_share,
                "others_share": load.others_share,
                "cpu_s_per_audio_s": load.cost,
                "results": len(load.latencies_s),
                "broke": len(load.errors),
            }
            for num_streams, load in sorted(contender.loads.items())
        ],
    }


if __name__ == "__main__":
    main()
