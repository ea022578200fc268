"""Receives the recordings that clients upload, and stops the work when a client goes away.

All protocols take the same steps. First they take a place (`Service.room`): a full server refuses
it before the recording comes. Then they receive the bytes. Then they work, until the work is done
or the client goes away.
"""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable
from typing import BinaryIO, TypeVar, cast

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


IN_MEMORY_BYTES = 1 << 20
"""A larger upload goes to a file."""


async def receive_file(body: AsyncIterator[bytes]) -> "SharedFile":
    """A file with all bytes of a body. Raises the errors of reading the body."""
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
    """The result of the work. If the client goes away, stops it and raises ClientDisconnect."""
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
        await asyncio.wait({working, gone})  # then its files can be closed
        for task in (working, gone):
            if not task.cancelled():
                task.exception()  # nobody waits for this error any more


async def wait_until_gone(request: Request) -> None:
    """Wait until the client goes away. Call this after reading the whole body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class SharedFile:
    """A file that one thread may close while another reads it. The reader then gets its end.

    When a client goes away, another thread is often decoding a block of its recording.
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
