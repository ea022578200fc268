"""Recordings that clients upload: files that two threads share, work that ends with its client."""

import asyncio
import threading
from collections.abc import Awaitable
from typing import BinaryIO, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def run_while_wanted(request: Request, work: Awaitable[T]) -> T:
    """The result of the work; stops it and raises ClientDisconnect if the client goes away."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class SharedFile:
    """A file that one thread may close while another reads it, who then comes to its end.

    When a client goes away, a block of its recording is just being decoded, as often as not.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def read(self, size: int = -1) -> bytes:
        with self._lock:
            return b"" if self._file.closed else self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._lock:
            return 0 if self._file.closed else self._file.seek(offset, whence)

    def tell(self) -> int:
        with self._lock:
            return 0 if self._file.closed else self._file.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        with self._lock:
            self._file.close()
