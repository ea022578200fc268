"""Many replicas: if one dies, streams of the other continue. The dashboard's metrics exist."""

import asyncio
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from aids.models import write_random_bundle
from ds2.audio import Waveform
from ds2.cli import main
from ds2.client import RemoteStream, ServerError, ServerGone, connect
from ds2.recognition.recognizer import Recognizer
from ds2.serving.config import ServeSettings
from ds2.serving.engine.dispatch import Report
from ds2.serving.engine.metrics import Metrics
from ds2.serving.ray.board import Board, Note, merged_metrics
from ds2.serving.ray.deployment import Scale
from ds2.serving.ray.replica import Inbox
from ds2.transcripts.events import Final

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[3] / "deploy"
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")


def noise(num_samples: int, seed: int) -> Waveform:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


# The board, and the load of a replica


def test_metrics_of_replicas_stand_together_each_with_its_name() -> None:
    texts = {}
    for name in ("b", "a"):
        metrics = Metrics()
        metrics.streams.labels("en", "live").set(ord(name))
        texts[name] = metrics.text().decode()
    lines = merged_metrics(texts).splitlines()
    assert 'ds2_streams{kind="live",model="en",replica="a"} 97.0' in lines
    assert 'ds2_streams{kind="live",model="en",replica="b"} 98.0' in lines
    assert lines.count("# TYPE ds2_streams gauge") == 1


def test_metrics_of_one_replica_come_through_as_they_are_but_for_its_name() -> None:
    metrics = Metrics()
    metrics.streams.labels('a "b" \\ c\n}', "live").inc()
    metrics.streams_ended.labels("en", "done").inc(3)
    metrics.observe("en", Report([], batch_size=3, step_s=0.1, delays_s=[0.01]))
    text = metrics.text().decode()
    merged = merged_metrics({'the "first"': text})
    assert merged.replace(',replica="the \\"first\\""', "") == text


def test_the_board_tells_all_replicas_to_drain() -> None:
    board = Board()
    assert not board.pin("a", Note("", 1))
    board.drain()
    assert board.pin("a", Note("", 0))
    assert board.notes() == {"a": Note("", 0)}


@pytest.mark.parametrize("sizes", [[2000], [600] * 5])
def test_messages_that_are_too_large_or_pile_up_close_the_connection(sizes: list[int]) -> None:
    settings = ServeSettings(max_message_bytes=1024, max_upload_bytes=2048)
    messages: list[dict[str, Any]] = [
        {"type": "websocket.receive", "bytes": bytes(size)} for size in sizes
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def take() -> None:
        inbox = Inbox(receive, send, settings)
        await asyncio.sleep(0)  # the client is faster than the reader
        assert await inbox.receive() == {"type": "websocket.disconnect", "code": 1009}
        with pytest.raises(OSError):
            await inbox.send({"type": "websocket.send", "text": ""})
        inbox.stop()

    asyncio.run(take())
    assert [each["code"] for each in sent] == [1009]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"min_replicas": 0}, "min_replicas: must be at least 1, not 0"),
        ({"max_replicas": 1}, "max_replicas: must be at least 2, not 1"),
        ({"streams_per_replica": 0}, "streams_per_replica: must be at least 1, not 0"),
    ],
)
def test_impossible_numbers_of_replicas_are_named(values: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Scale(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--replicas", "2"], "--replicas: works with --ray only"),
        (["--ray", "--replicas", "2", "--max-replicas", "3"], "--replicas: sets both"),
        (["--ray", "--min-replicas", "2"], "--min-replicas: needs --max-replicas"),
        (["--ray", "--min-replicas", "3", "--max-replicas", "2"], "--max-replicas: must be"),
        (["--ray", "--workers", "2"], "--ray: its replicas are processes"),
        (["--ray", "--port", "0"], "--port 0: not with --ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "-m", str(tmp_path), *options]) == 2
    assert told in capsys.readouterr().err


# The dashboard


def test_every_metric_that_dashboard_and_alerts_name_exists() -> None:
    panels = json.loads((DEPLOY / "grafana" / "ds2.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    asked += re.findall(r"expr: (.*)", (DEPLOY / "alerts.yml").read_text())
    named = set(re.findall(r"ds2_\w+", " ".join(asked)))
    known = set()
    for name, kind in re.findall(r"# TYPE (\w+) (\w+)", Metrics().text().decode()):
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        known |= {name + end for end in ends}
    assert len(named) >= 8
    assert named <= known


# A cluster of two replicas


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_bundle(tmp_path_factory.mktemp("tiny")).path


@pytest.fixture(scope="module")
def cluster(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `ds2 serve --ray`, in its own processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("ray") / "log"
    command = [sys.executable, "-c", "import sys; from ds2.cli import main; sys.exit(main())"]
    command += ["serve", "--ray", "--replicas", "2", "-m", f"tiny={bundle}"]
    command += ["--port", str(port), "--drain-s", "0"]
    with log.open("w") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "DS2_TEST_CLUSTER": str(port)}
        )
    try:
        deadline_s = time.monotonic() + 150
        while "listening on" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.2)
        at = f"127.0.0.1:{port}"
        assert len(named_in_metrics(at, 2)) == 2
        yield at
    finally:
        server.terminate()
        assert server.wait(60) == 0, log.read_text()


def named_in_metrics(at: str, num_replicas: int) -> set[str]:
    """Send streams until this number of replicas had some; return the replicas in /metrics."""
    deadline_s = time.monotonic() + 60
    while True:
        asyncio.run(text_of(at, noise(8000, 0)))
        text = httpx.get(f"http://{at}/metrics", timeout=30).text
        named = set(re.findall(r'replica="([^"]+)"', text))
        if len(named) >= num_replicas or time.monotonic() > deadline_s:
            return named


def replicas_of(at: str) -> list[int]:
    """The replicas' processes."""
    mark = f"DS2_TEST_CLUSTER={at.rpartition(':')[2]}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_replica = (path / "cmdline").read_bytes().startswith(b"ray::ServeReplica")
            if is_replica and mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:  # the process has ended
            continue
    return found


async def last_text(stream: RemoteStream) -> str:
    texts = [event.transcript.text async for event in stream if isinstance(event, Final)]
    return " ".join(texts)


async def told(at: str, waveform: Waveform, half: asyncio.Barrier, go: asyncio.Event) -> str:
    """The text of a stream during the death of a replica. Raises ServerGone if its server dies."""
    async with connect(at, endpoints=False) as stream:
        await stream.send(waveform[: len(waveform) // 2])
        await half.wait()
        await go.wait()
        await stream.send(waveform[len(waveform) // 2 :])
        await stream.finish()
        return await last_text(stream)


async def through_a_death(at: str, waveforms: list[Waveform]) -> list[str | BaseException]:
    """The texts of streams, or their errors, while a replica is killed."""
    half, go = asyncio.Barrier(len(waveforms) + 1), asyncio.Event()
    telling = [asyncio.create_task(told(at, each, half, go)) for each in waveforms]
    await half.wait()
    os.kill(replicas_of(at)[0], signal.SIGKILL)
    go.set()
    return await asyncio.gather(*telling, return_exceptions=True)


async def text_of(at: str, waveform: Waveform) -> str:
    """The text of a stream that nobody disturbs."""
    async with connect(at, endpoints=False) as stream:
        await stream.send(waveform)
        await stream.finish()
        return await last_text(stream)


@needs_ray
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_streams_outlive_the_other_replica_and_those_it_took_go_on_anew(
    cluster: str, bundle: Path
) -> None:
    recognizer = Recognizer.load(bundle)
    waveforms = [noise(30_000 + 1000 * seed, seed) for seed in range(12)]  # more than one replica
    whole = [recognizer.transcribe(each).text for each in waveforms]
    texts = asyncio.run(through_a_death(cluster, waveforms))
    gone = [index for index, text in enumerate(texts) if isinstance(text, ServerGone)]
    assert 0 < len(gone) < len(texts)
    for index, text in enumerate(texts):
        if index in gone:
            assert str(text) == "the server went away: connect again"
            assert asyncio.run(text_of(cluster, waveforms[index])) == whole[index]
        else:
            assert text == whole[index]


@needs_ray
def test_health_metrics_and_refusals_pass_through_the_cluster(cluster: str) -> None:
    assert httpx.get(f"http://{cluster}/health").json()["status"] == "ok"
    assert named_in_metrics(cluster, 1)
    assert "# TYPE ds2_latency_seconds histogram" in httpx.get(f"http://{cluster}/metrics").text

    async def refused() -> ServerError:
        with pytest.raises(ServerError) as caught:
            async with connect(cluster, model="nope"):
                pass
        return caught.value

    assert asyncio.run(refused()).status == 404
