"""Live streams to a server at the speed of real time, and their waiting times for results."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

BYTES_PER_S = 32_000  # 16 bits at 16 kHz
SPREAD_S = 1.0
"""Streams begin anywhere in the first second of a run, as people do."""
WARM_UP_S = 2.0
"""Results in the first seconds after that are not counted."""
GRACE_S = 1.0
"""Seconds to wait after the last counted message for its results."""


@dataclass
class Account:
    """The messages and results of a stream; times by time.monotonic()."""

    unit_s: float = 0.0  # audio that one result covers: a chunk, or a message
    overlap_s: float = 0.0  # audio after the end of a unit that the server also needs
    due_s: list[float] = field(default_factory=list)  # when each message was to be sent
    late_s: list[float] = field(default_factory=list)  # the delay with which we sent it
    answers: list[tuple[float, float]] = field(default_factory=list)  # time; audio covered
    error: str = ""

    def latencies_s(self, message_s: float, begin_s: float, end_s: float) -> NDArray[np.float64]:
        """Latencies of units due in this time: from the due time of their last audio to the result.

        A unit without a result at the end of the grace time waited at least until then.
        """
        num_units = int((len(self.due_s) * message_s - self.overlap_s) / self.unit_s + 1e-6)
        ends_s = self.unit_s * np.arange(1, num_units + 1)
        messages = np.ceil((ends_s + self.overlap_s) / message_s - 1e-6).astype(int) - 1
        due_s = np.array(self.due_s)[messages] if num_units else np.empty(0)
        times_s = np.array([each for each, _ in self.answers] + [end_s + GRACE_S])
        covered_s = np.maximum.accumulate([each for _, each in self.answers] + [np.inf])
        answered_s = times_s[np.searchsorted(covered_s, ends_s - 1e-4)]
        is_counted = (due_s >= begin_s) & (due_s < end_s)
        return np.asarray((answered_s - due_s)[is_counted])

    def covered_s(self, until_s: float) -> float:
        """Audio that the results cover that had come by then."""
        return max((covered for time_s, covered in self.answers if time_s <= until_s), default=0.0)


@dataclass(frozen=True)
class Speech:
    """16-bit samples, which streams play in a loop from any place."""

    samples: bytes

    def message(self, offset: int, index: int, message_s: float) -> bytes:
        """The message with this index of a stream that began at this sample."""
        size = round(BYTES_PER_S * message_s)
        start = (2 * offset + index * size) % (len(self.samples) - size)
        return self.samples[start : start + size]

    @property
    def num_samples(self) -> int:
        return len(self.samples) // 2


class Ours:
    """`ds2 serve`'s own protocol: `heard_s` gives the progress after each step."""

    path = "/v1/stream"

    def __init__(self, overlap_s: float) -> None:
        """overlap_s: by how much a frame's window is longer than its stride."""
        self._overlap_s = overlap_s

    async def begin(self, websocket: ClientConnection, account: Account, message_s: float) -> None:
        del message_s  # it answers chunk by chunk
        await websocket.send('{"type": "start", "partials": "every_step"}')
        ready = json.loads(await websocket.recv())
        if ready["type"] != "ready":
            raise OSError(str(ready))
        account.unit_s, account.overlap_s = ready["chunk_s"], self._overlap_s

    def take(self, text: str | bytes, account: Account) -> None:
        message = json.loads(text)
        if "heard_s" in message:
            account.answers.append((time.monotonic(), message["heard_s"]))
        elif message["type"] == "error":
            raise OSError(str(message))


class Vosk:
    """vosk-server's protocol: every message gets one reply after it has been processed."""

    path = "/"

    async def begin(self, websocket: ClientConnection, account: Account, message_s: float) -> None:
        await websocket.send('{"config": {"sample_rate": 16000, "words": false}}')
        account.unit_s = message_s

    def take(self, text: str | bytes, account: Account) -> None:
        del text
        covered_s = (len(account.answers) + 1) * account.unit_s
        account.answers.append((time.monotonic(), covered_s))


@dataclass(frozen=True)
class Load:
    """The result of a run of a server."""

    num_streams: int
    latencies_s: NDArray[np.float64]
    late_s: NDArray[np.float64]  # how late the load generator sent
    core_share: float  # share of its core that the server used
    others_share: float  # share of its core that everything else used
    cost: float  # processor seconds of the server for a second of audio that it answered
    errors: tuple[str, ...]

    @property
    def p98_s(self) -> float:
        """The latencies; infinite for a broken stream."""
        if self.errors or not len(self.latencies_s):
            return float("inf")
        return float(np.quantile(self.latencies_s, 0.98))

    def milliseconds(self) -> list[float]:
        """Median, 95th, 98th and 99th percentile."""
        if not len(self.latencies_s):
            return [float("inf")] * 4
        return [
            1000 * float(each) for each in np.quantile(self.latencies_s, (0.5, 0.95, 0.98, 0.99))
        ]


async def run_load(
    port: int,
    protocol: Ours | Vosk,
    speech: Speech,
    num_streams: int,
    seconds: float,
    message_s: float,
    cpu_s: Callable[[], tuple[float, float]],
    randomness: random.Random,
) -> Load:
    """Run some streams for some time; the first moments do not count.

    cpu_s: gives the processor time of the server, and the busy time of its core.
    """
    begin_s = time.monotonic() + SPREAD_S
    count_s = begin_s + SPREAD_S + WARM_UP_S
    end_s = count_s + seconds
    accounts = [Account() for _ in range(num_streams)]
    tasks = [
        asyncio.create_task(
            _stream(
                f"ws://127.0.0.1:{port}{protocol.path}",
                protocol,
                account,
                speech,
                randomness.randrange(speech.num_samples),
                begin_s + randomness.uniform(0, SPREAD_S),
                end_s,
                message_s,
            )
        )
        for account in accounts
    ]
    await asyncio.sleep(count_s - time.monotonic())
    used_s, busy_s = cpu_s()
    await asyncio.sleep(end_s - time.monotonic())
    used_s, busy_s = cpu_s()[0] - used_s, cpu_s()[1] - busy_s
    await asyncio.gather(*tasks)
    covered_s = sum(each.covered_s(end_s) - each.covered_s(count_s) for each in accounts)
    return Load(
        num_streams,
        _joined([each.latencies_s(message_s, count_s, end_s) for each in accounts if each.unit_s]),
        _joined([np.array(each.late_s) for each in accounts]),
        used_s / seconds,
        max(0.0, busy_s - used_s) / seconds,
        used_s / covered_s if covered_s else float("inf"),
        tuple(each.error for each in accounts if each.error),
    )


def _joined(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.empty(0), *arrays])


async def _stream(
    url: str,
    protocol: Ours | Vosk,
    account: Account,
    speech: Speech,
    offset: int,
    begin_s: float,
    end_s: float,
    message_s: float,
) -> None:
    """Send on time until the end, whatever comes back; then close."""
    try:
        websocket = await connect(url, compression=None, ping_interval=None, open_timeout=30)
    except (OSError, WebSocketException, TimeoutError) as error:
        account.error = f"{type(error).__name__}: {error}"
        return
    try:
        await protocol.begin(websocket, account, message_s)
        reading = asyncio.create_task(_read(websocket, protocol, account))
        index = 0
        while (due_s := begin_s + index * message_s) < end_s:
            await asyncio.sleep(due_s - time.monotonic())
            if reading.done():
                break
            account.due_s.append(due_s)
            account.late_s.append(time.monotonic() - due_s)
            # If we cannot send, the audio is late in any case, because latency counts from `due_s`.
            async with asyncio.timeout(max(0.01, end_s + GRACE_S - time.monotonic())):
                await websocket.send(speech.message(offset, index, message_s))
            index += 1
        await asyncio.wait([reading], timeout=max(0, end_s + GRACE_S - time.monotonic()))
        if reading.done():
            reading.result()
            account.error = "the server closed the stream"
        reading.cancel()
    except TimeoutError:
        pass  # blocked until the end: the due messages have no result
    except (OSError, WebSocketException) as error:
        account.error = f"{type(error).__name__}: {error}"
    finally:
        websocket.transport.abort()
        with suppress(WebSocketException, OSError):
            await websocket.close()


async def _read(websocket: ClientConnection, protocol: Ours | Vosk, account: Account) -> None:
    with suppress(WebSocketException):
        async for message in websocket:
            protocol.take(message, account)
