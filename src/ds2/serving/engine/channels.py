"""The sessions of a stream with several channels. Each channel has a session of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

import numpy as np

from ds2.audio import Waveform
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.session import Session
from ds2.transcripts.events import Event

MOST_CHANNELS = 16


class ChannelSessions:
    """A session for each channel, used like one session. `Service.open_channels` makes it.

    It is an async context manager, which closes the sessions.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = tuple(sessions)
        self.model = sessions[0].model
        self.line = sessions[0].line
        self.options = sessions[0].options

    async def __aenter__(self) -> "ChannelSessions":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def heard_s(self) -> float:
        """Seconds of audio that the model has taken from every channel."""
        return min(session.heard_s for session in self.sessions)

    @property
    def is_done(self) -> bool:
        """Whether no more events come."""
        return all(session.is_done for session in self.sessions)

    async def feed(self, frames: Waveform) -> None:
        """Take (N, C) float32 samples. Waits and raises Refused as `Session.feed` does."""
        for session, column in zip(self.sessions, frames.T, strict=True):
            await session.feed(np.ascontiguousarray(column))

    async def flush(self) -> None:
        """End the segments under way."""
        for session in self.sessions:
            await session.flush()

    async def finish(self) -> None:
        """Take note that no more audio comes; the last events follow."""
        for session in self.sessions:
            await session.finish()

    def close(self) -> None:
        """End the sessions that are not over: their client has left."""
        for session in self.sessions:
            session.close()

    def fail(self, error: Refused) -> None:
        """End the sessions at once. Their reader gets this error."""
        for session in self.sessions:
            session.fail(error)

    async def events(self) -> AsyncIterator[tuple[int, Event]]:
        """All events to the end, each with the index of its channel. Raises Refused."""
        told: asyncio.Queue[tuple[int, Event | Refused | None]] = asyncio.Queue(1)

        async def pass_on(index: int, session: Session) -> None:
            try:
                async for event in session.events():
                    await told.put((index, event))
                await told.put((index, None))
            except Refused as refused:
                await told.put((index, refused))

        tasks = [asyncio.create_task(pass_on(*each)) for each in enumerate(self.sessions)]
        try:
            num_left = len(tasks)
            while num_left:
                index, event = await told.get()
                if isinstance(event, Refused):
                    raise event
                if event is None:
                    num_left -= 1
                else:
                    yield index, event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
