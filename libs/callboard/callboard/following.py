"""Following the work stream across broken connections: each event once, in order."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable

import grpc

from callboard.events.v1 import events_pb2
from callboard.failure import CallboardError

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
Open = Callable[
    [events_pb2.StreamEventsRequest],
    grpc.aio.UnaryStreamCall[events_pb2.StreamEventsRequest, events_pb2.StreamEventsResponse],
]


async def follow(
    open_stream: Open, request: events_pb2.StreamEventsRequest, patience: float
) -> AsyncGenerator[events_pb2.StreamedEvent, None]:
    """Yield the events of the request's scope; returns after a session's last one.

    A stream that breaks is resumed after the last event that was yielded. Raises CallboardError for what does
    not pass by itself, and when nothing was received for `patience` seconds of trying.
    """
    wanted = events_pb2.StreamEventsRequest()
    wanted.CopyFrom(request)
    trying = _Trying(patience)
    while True:
        call = open_stream(wanted)
        try:
            async for response in call:
                trying.heard()
                for streamed in response.batch.events:
                    wanted.cursor = streamed.cursor
                    yield streamed
                wanted.cursor = response.cursor or wanted.cursor
                if response.HasField("end"):
                    return
        except CallboardError as error:
            if error.code is not grpc.StatusCode.UNAVAILABLE or trying.is_over():
                raise
        finally:
            call.cancel()  # a call that is merely dropped is never cancelled (grpc#43462)
        await trying.wait()


class _Trying:
    """How long it has been tried without hearing anything, and how long to wait before the next time."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._began: float | None = time.monotonic()
        self._wait = _FIRST_WAIT_SECONDS

    def heard(self) -> None:
        """Begin anew when the stream breaks next."""
        self._began = None
        self._wait = _FIRST_WAIT_SECONDS

    def is_over(self) -> bool:
        """Whether patience has run out; a stream that was heard has broken just now."""
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began > self._patience

    async def wait(self) -> None:
        """Wait with full jitter, so that many clients do not come back at once, and longer each time."""
        await asyncio.sleep(random.uniform(0, self._wait))  # noqa: S311 - it guards nothing
        self._wait = min(_LONGEST_WAIT_SECONDS, self._wait * 2)
