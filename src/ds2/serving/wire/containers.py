"""Decodes recordings in a container (WebM, Ogg, MP3, ...) while they arrive."""

import asyncio
import logging
import queue
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, BinaryIO, cast

import numpy as np

from ds2.audio import audio_blocks
from ds2.errors import InputError
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import told_of_fault
from ds2.serving.engine.session import Session

BLOCK_S = 0.1
MOST_WAITING = 32
"""Most messages that may wait for the decoder. Then the sender must wait."""
WAIT_S = 0.02
HEAD_BYTES = 16  # enough to recognise the format

logger = logging.getLogger(__name__)


class ContainerStream:
    """Decodes the bytes of a file and feeds the samples to a session at 16 kHz.

    A decoder reads at any time and waits for its data, so each stream has its own thread.
    Always call `end`, or the thread stays.
    """

    def __init__(self, session: Session, most_bytes: int) -> None:
        """most_bytes: the limit for the whole file. Call this in the event loop of the session."""
        self._session = session
        self._num_left = most_bytes
        self._arrived: queue.Queue[bytes] = queue.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._decode, daemon=True, name="container").start()

    async def feed(self, data: bytes) -> None:
        """Take more of the file. Waits while the decoder is behind. Raises Refused."""
        self._num_left -= len(data)
        if self._num_left < 0:
            raise Refused(413, "the recording is too large: send it in parts")
        while self._arrived.qsize() >= MOST_WAITING:
            await asyncio.sleep(WAIT_S)
            await self._session.feed(np.empty(0, np.float32))  # raises if the session is over
        if data:
            self._arrived.put(data)

    def end(self) -> None:
        """End the file. The session is finished after the rest is decoded."""
        self._arrived.put(b"")

    def _decode(self) -> None:
        file = cast(BinaryIO, _Arriving(self._arrived))
        try:
            for block in audio_blocks(file, block_s=BLOCK_S):
                self._run(self._session.feed(block))
            self._run(self._session.finish())
        except (Refused, CancelledError, _ServerIsOver):
            pass  # the server or the session is over; the reader of its events knows it
        except InputError as error:
            self._fail(Refused(400, str(error)))
        except Exception:  # a fault in ds2 or a decoder: nobody may wait for ever
            request_id = self._session.line.request_id
            logger.exception("a recording failed", extra={"facts": {"request": request_id}})
            self._fail(Refused(500, told_of_fault("recording", request_id)))

    def _run(self, act: Coroutine[Any, Any, None]) -> None:
        """Run something in the session's event loop, and wait until it is done."""
        try:
            doing = asyncio.run_coroutine_threadsafe(act, self._loop)
        except RuntimeError:  # the loop is closed
            act.close()
            raise _ServerIsOver from None
        doing.result()

    def _fail(self, refused: Refused) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._session.fail, refused)


class _ServerIsOver(Exception):
    """The event loop is closed."""


class _Arriving:
    """An arriving file. A read returns the bytes that are there, at least one until the end."""

    def __init__(self, arrived: "queue.Queue[bytes]") -> None:
        """arrived: the pieces of the file; an empty piece ends it."""
        self._arrived = arrived
        self._held = b""
        self._has_ended = False
        self._is_begun = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes. The first read returns enough to recognise the format."""
        least = 1 if self._is_begun else HEAD_BYTES
        while len(self._held) < least and not self._has_ended:
            data = self._arrived.get()
            self._has_ended = not data
            self._held += data
        self._is_begun = True
        end = len(self._held) if size < 0 else size
        taken, self._held = self._held[:end], self._held[end:]
        return taken

    def seekable(self) -> bool:
        """False: an arriving file cannot seek."""
        return False
