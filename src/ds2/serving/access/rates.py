"""Limits the requests of one client: token buckets."""

import time

MOST_CLIENTS = 10_000
"""Number of clients to remember. Beyond it, the clients with the oldest requests are forgotten."""


class RateLimit:
    """A bucket for each client. It holds the requests of one minute and fills at their rate."""

    def __init__(self, requests_per_minute: float) -> None:
        self._rate_hz = requests_per_minute / 60
        self._capacity = max(1.0, requests_per_minute)
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted

    def wait_s(self, client: str) -> float:
        """0 if the client may send a request now, which counts; otherwise the seconds to wait."""
        now_s = time.monotonic()
        tokens, counted_s = self._buckets.get(client, (self._capacity, now_s))
        tokens = min(self._capacity, tokens + (now_s - counted_s) * self._rate_hz)
        if tokens < 1:
            return (1 - tokens) / self._rate_hz
        self._buckets.pop(client, None)  # the newest stands last
        self._buckets[client] = (tokens - 1, now_s)
        while len(self._buckets) > MOST_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0
