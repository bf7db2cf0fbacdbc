"""Following the work stream across broken connections: each event once, in order."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from typing import cast

import grpc

from callboard.calls import AsyncCalls, SyncCalls, raise_if_closed
from callboard.events.v1.events_pb2 import StreamEventsRequest, StreamEventsResponse
from callboard.failure import CallboardError
from callboard.resources.readers import read_event
from callboard.retrying import Patience
from callboard.types import Event, EventLevel, StreamStart
from callboard.values import fields_of, write

PATIENCE_SECONDS = 60.0
"""For how long a stream is reopened when nothing is heard."""
_PATH = "/callboard.events.v1.EventService/StreamEvents"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamedEvent(Event):
    """An event and its position in the stream that delivered it."""

    cursor: str
    """Following after this cursor begins with the next event."""


class Following:
    """The state of a follower: requests continue after the last event that was yielded."""

    def __init__(
        self,
        *,
        session_id: str | None,
        agent_id: str | None,
        cursor: str | None,
        start: StreamStart | None,
        types: Sequence[str],
        levels: Sequence[EventLevel],
        patience: float,
    ) -> None:
        self.request = write(
            StreamEventsRequest,
            {
                "session_id": session_id,
                "agent_id": agent_id,
                "cursor": cursor,
                "start": start,
                "types": types,
                "levels": levels,
            },
        )
        self.patience = Patience(patience)

    def read(self, response: StreamEventsResponse) -> Iterator[StreamedEvent]:
        """Yield the events of a response."""
        self.patience.heard()
        for streamed in response.batch.events:
            self.request.cursor = streamed.cursor
            yield StreamedEvent(cursor=streamed.cursor, **fields_of(read_event(streamed.event)))
        self.request.cursor = response.cursor or self.request.cursor


async def follow_async(calls: AsyncCalls, following: Following) -> AsyncGenerator[StreamedEvent, None]:
    """Yield events as they arrive. Returns after a session's last event."""
    while True:
        call = calls.stream(_PATH, following.request, StreamEventsResponse)
        failure: CallboardError | None = None
        try:
            async for response in call:
                for event in following.read(response):
                    yield event
                if response.HasField("end"):
                    return
        except grpc.aio.AioRpcError as error:
            failure = CallboardError.of(error)
            failure.__cause__ = error
        except asyncio.CancelledError as error:
            raise_if_closed(error)
            raise
        finally:
            call.cancel()  # gRPC does not cancel a call that is only dropped (grpc#43462)
        wait = following.patience.wait_after(failure)
        if wait is None:
            raise cast(CallboardError, failure)
        await asyncio.sleep(wait)


def follow_sync(calls: SyncCalls, following: Following) -> Generator[StreamedEvent, None, None]:
    """Yield events as they arrive. Returns after a session's last event."""
    while True:
        call = calls.stream(_PATH, following.request, StreamEventsResponse)
        failure: CallboardError | None = None
        try:
            for response in call:
                yield from following.read(response)
                if response.HasField("end"):
                    return
        except grpc.RpcError as error:
            failure = CallboardError.of(cast(grpc.Call, error))
            failure.__cause__ = error
        finally:
            call.cancel()
        wait = following.patience.wait_after(failure)
        if wait is None:
            raise cast(CallboardError, failure)
        time.sleep(wait)
