"""Visitors of a server who speak at the speed of real time, and how long they wait for results."""

import asyncio
import json
import math
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection

from soak_visitors import BYTES_PER_S, Busy, Visit, Wrong, joined

MESSAGE_S = 0.1
"""Audio in a message, as from a microphone."""
MOST_LATENCIES = 200_000
"""The newest latencies, from which the percentiles come."""


class Latencies:
    """How long the pieces of live speech waited for their results, in seconds."""

    def __init__(self) -> None:
        self._newest_s: deque[float] = deque(maxlen=MOST_LATENCIES)
        self.num_pieces = 0

    def add(self, seconds: float) -> None:
        self._newest_s.append(seconds)
        self.num_pieces += 1

    def milliseconds(self, *shares: float) -> NDArray[np.float64]:
        """The quantiles of the newest latencies, for shares from 0 to 1; NaN without any."""
        if not self._newest_s:
            return np.full(len(shares), np.nan)
        return 1000 * np.quantile(np.array(self._newest_s), shares)


async def speak_live(visit: Visit, latencies: Latencies, overlap_s: float) -> None:
    """Speak a recording at the speed of real time, with endpoints, and read all results.

    A latency is the time from the moment when the last audio that a result needs was due to be
    sent, to the arrival of the result. overlap_s: by how much a frame's window is longer than its
    stride. Raises Busy, Wrong.
    """
    recording_s = len(visit.recording.samples) / BYTES_PER_S
    texts: list[str] = []
    async with visit.connected("/v1/stream") as websocket:
        await websocket.send('{"type": "start", "partials": "every_step"}')
        ready = json.loads(await websocket.recv())
        if ready["type"] == "error":
            raise Busy if ready["status"] == 503 else Wrong(f"live: {ready['message']}")
        begun_s = time.monotonic()
        sending = asyncio.create_task(_send_on_time(visit, websocket, begun_s))
        try:
            async for text in websocket:
                message = json.loads(text)
                if message["type"] == "error":
                    raise Wrong(f"live: {message['message']}")
                if message["type"] == "final":
                    texts.append(message["text"])
                if "heard_s" in message:
                    needed_s = min(message["heard_s"] + overlap_s, recording_s)
                    num_messages = math.ceil(needed_s / MESSAGE_S - 1e-6)
                    latencies.add(time.monotonic() - begun_s - num_messages * MESSAGE_S)
            await sending
        finally:
            sending.cancel()
    visit.expect(joined(texts), visit.recording.text_by_segments, "live")


async def _send_on_time(visit: Visit, websocket: ClientConnection, begun_s: float) -> None:
    """Send each piece when its last sample is due, then the message that ends the recording."""
    samples, size = visit.recording.samples, round(BYTES_PER_S * MESSAGE_S)
    for index, start in enumerate(range(0, len(samples), size), 1):
        await asyncio.sleep(begun_s + index * MESSAGE_S - time.monotonic())
        await websocket.send(samples[start : start + size])
    await websocket.send('{"type": "finish"}')
