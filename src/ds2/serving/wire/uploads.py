"""Recordings that clients upload: received into one kind of file, work that ends with its client.

All protocols go the same way: a place first (`Service.room`), which a full server refuses before
the recording comes; then its bytes; then work that stops when nobody waits for it any more.
"""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable
from typing import BinaryIO, TypeVar, cast

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


IN_MEMORY_BYTES = 1 << 20
"""An upload that is larger goes to a file."""


async def receive_file(body: AsyncIterator[bytes]) -> "SharedFile":
    """A file of all bytes of a body. Raises what reading the body raises."""
    spooled = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (closed by its reader)
    file = SharedFile(cast(BinaryIO, spooled))
    try:
        async for data in body:
            await asyncio.to_thread(file.write, data)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


async def run_while_wanted(request: Request, work: Awaitable[T]) -> T:
    """The result of the work; stops it and raises ClientDisconnect if the client goes away."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(wait_until_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.wait({working, gone})  # what it used can be closed now
        for task in (working, gone):
            if not task.cancelled():
                task.exception()  # of no interest where nobody waits any more


async def wait_until_gone(request: Request) -> None:
    """Wait until the client goes away; to be called once all of the body has been read."""
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

    def write(self, data: bytes) -> int:
        with self._lock:
            return 0 if self._file.closed else self._file.write(data)

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
