"""Recordings in a container (WebM, Ogg, MP3, ...) that are decoded while they arrive."""

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
"""Messages that wait for the decoder; then their sender has to."""
WAIT_S = 0.02
HEAD_BYTES = 16  # what tells one format from another

logger = logging.getLogger(__name__)


class ContainerStream:
    """Feeds a session, which is at 16 kHz, with what bytes of a file decode to.

    Decoders read when they like and wait for what they read, so each has a thread of its own.
    `end` it, always, or the thread stays.
    """

    def __init__(self, session: Session, most_bytes: int) -> None:
        """most_bytes: of the whole file. In the event loop of the session."""
        self._session = session
        self._num_left = most_bytes
        self._arrived: queue.Queue[bytes] = queue.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._decode, daemon=True, name="container").start()

    async def feed(self, data: bytes) -> None:
        """Take more of the file; waits while the decoder is behind. Raises Refused."""
        self._num_left -= len(data)
        if self._num_left < 0:
            raise Refused(413, "the recording is too large: send it in parts")
        while self._arrived.qsize() >= MOST_WAITING:
            await asyncio.sleep(WAIT_S)
            await self._session.feed(np.empty(0, np.float32))  # raises if the session is over
        if data:
            self._arrived.put(data)

    def end(self) -> None:
        """No more comes: the session is finished once the rest is decoded."""
        self._arrived.put(b"")

    def _decode(self) -> None:
        file = cast(BinaryIO, _Arriving(self._arrived))
        try:
            for block in audio_blocks(file, block_s=BLOCK_S):
                self._run(self._session.feed(block))
            self._run(self._session.finish())
        except (Refused, CancelledError, _ServerIsOver):
            pass  # the session is over, and who reads its events knows; or the server is
        except InputError as error:
            self._fail(Refused(400, str(error)))
        except Exception:  # a mistake of ours, or of a decoder's: nobody may wait for ever for it
            request_id = self._session.line.request_id
            logger.exception("a recording failed", extra={"facts": {"request": request_id}})
            self._fail(Refused(500, told_of_fault("recording", request_id)))

    def _run(self, act: Coroutine[Any, Any, None]) -> None:
        """Let the session's event loop do something, and wait until it has."""
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
    """There is no event loop any more."""


class _Arriving:
    """A file that is read as it arrives: what is there, but at least a byte until its end."""

    def __init__(self, arrived: "queue.Queue[bytes]") -> None:
        """arrived: an empty one ends it."""
        self._arrived = arrived
        self._held = b""
        self._has_ended = False
        self._is_begun = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; at first enough to know the format by."""
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
        """Never."""
        return False
