"""Readers of event streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from callboard.events.v1.events_pb2 import Event, StreamEventsRequest, StreamEventsResponse, StreamStart
from libs.rpc.stubs import Stubs
from tests.support.eventually import eventually


class StreamReader:
    """A stream that is read into a list in the background."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.events: list[Event] = []
        self.cursors: list[str] = []
        self.cursor = ""
        self.ended = False
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for response in self.call:
            for streamed in response.batch.events:
                self.events.append(streamed.event)
                self.cursors.append(streamed.cursor)
            self.cursor = response.cursor
            self.ended = self.ended or response.HasField("end")

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events]

    async def has(self, count: int) -> None:
        def is_there() -> bool:
            assert len(self.events) >= count, f"{len(self.events)} of {count}: {self.seqs[-5:]}, {self.task}"
            return True

        await eventually(is_there)

    async def over(self) -> "StreamReader":
        await asyncio.wait_for(self.task, 10)
        return self


@asynccontextmanager
async def open_reader(client: Stubs, **fields: Any) -> AsyncIterator[StreamReader]:
    """Reads a stream in the background, and cancels it at the end."""
    made = StreamReader(client.events.StreamEvents(StreamEventsRequest(**fields)))
    try:
        yield made
    finally:
        made.call.cancel()
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


async def read_to_end(client: Stubs, **fields: Any) -> StreamReader:
    """Reads a stream to its end."""
    async with open_reader(client, **fields) as stream:
        return await stream.over()


async def read_events(client: Stubs, session_id: str, count: int) -> StreamReader:
    """Reads `count` events of a session."""
    async with open_reader(client, session_id=session_id) as stream:
        await stream.has(count)
        return stream


async def metadata_of(call: Any) -> dict[str, Any]:
    """The initial metadata of a stream."""
    return dict(await call.initial_metadata())


class Collector:
    """Receives a stream of events over any number of connections."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.cursor = ""
        self.ended = False
        self.connections = 0

    @property
    def seqs(self) -> list[int]:
        """The sequence numbers, in the order of arrival."""
        return [event.seq for event in self.events]

    async def receive(
        self, client: Stubs, most: int | None = None, *, seconds: float = 20.0,
        start: StreamStart.ValueType = StreamStart.STREAM_START_UNSPECIFIED,
        session_id: str | None = None, agent_id: str | None = None,
    ) -> None:  # fmt: skip
        """Connects with the cursor and receives events until there are `most`, or the stream has ended."""
        self.connections += 1
        wanted = None if most is None else len(self.events) + most
        request = StreamEventsRequest(cursor=self.cursor, start=start)
        if session_id is not None:
            request.session_id = session_id
        if agent_id is not None:
            request.agent_id = agent_id
        call = client.events.StreamEvents(request)
        try:
            async with asyncio.timeout(seconds):
                if most == 0:
                    await call.initial_metadata()
                    return
                async for response in call:
                    if self._take(response, wanted):
                        return
        finally:
            call.cancel()

    def _take(self, response: StreamEventsResponse, wanted: int | None) -> bool:
        for streamed in response.batch.events:
            self.events.append(streamed.event)
            self.cursor = streamed.cursor
            if wanted is not None and len(self.events) >= wanted:
                return True  # also within a batch, because connections break there too
        self.cursor = response.cursor or self.cursor
        self.ended = response.HasField("end")
        return self.ended
