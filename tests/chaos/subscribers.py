"""Subscribers follow agents' streams from the beginning over gRPC or SSE, disconnect, and resume with their cursor."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import grpc
import httpx2

from callboard import CallboardError, Client
from tests.chaos.journal import Journal
from tests.support.processes import gateway_client
from tests.support.server_sent_events import frames_of

_PATIENCE = 60.0  # seconds of silence before the client gives up and the subscriber reconnects
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "503"}  # errors after which it reconnects at once


class BrokenOffError(Exception):
    """The stream was rejected or lost. The subscriber reconnects."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


@dataclass
class Subscriber(ABC):
    """Follows one agent. Records lines {time, subscriber, transport, agent_id, session_id, seq, event_id}."""

    name: str
    agent_id: str
    journal: Journal
    draw: random.Random
    cursor: str | None = None
    heads: dict[str, int] = field(default_factory=dict)
    """The last seq seen of each session."""

    transport: ClassVar[str]

    async def run(self) -> None:
        """Follow until cancelled. Disconnects at random in mid-stream, and reconnects elsewhere."""
        while True:
            try:
                async with asyncio.timeout(self.draw.uniform(4, 30)):
                    await self.follow()
            except TimeoutError:
                pass
            except BrokenOffError as error:
                self.journal.note(subscriber=self.name, transport=self.transport, error=error.code, reason=error.reason)
                if error.code not in _PASSING:
                    await asyncio.sleep(1)
            await asyncio.sleep(self.draw.uniform(0, 0.2))

    @abstractmethod
    async def follow(self) -> None:
        """Follow from the cursor until the stream ends. Raises BrokenOffError if it is rejected or lost."""

    def saw(self, session_id: str, seq: int, event_id: str, cursor: str) -> None:
        """Record an event."""
        self.cursor = cursor
        self.heads[session_id] = seq
        self.journal.note(
            subscriber=self.name, transport=self.transport, agent_id=self.agent_id, session_id=session_id, seq=seq,
            event_id=event_id,
        )  # fmt: skip


@dataclass
class GrpcSubscriber(Subscriber):
    """Follows over gRPC. Each connection is new and goes to a random session service."""

    replicas: Sequence[tuple[str, str]] = ()
    """Pairs of the addresses of a session and a command service."""

    key: str = ""

    transport = "grpc"

    async def follow(self) -> None:
        session, command = self.draw.choice(self.replicas)
        client = Client(self.key, session_address=session, command_address=command)
        events = client.follow(agent_id=self.agent_id, cursor=self.cursor, start="beginning", patience=_PATIENCE)
        try:
            async for event in events:
                self.saw(event.session_id, event.seq, event.event_id, event.cursor)
        except CallboardError as error:
            raise BrokenOffError(error.code.name, error.reason) from error
        finally:
            await events.aclose()
            await client.close()


@dataclass
class SseSubscriber(Subscriber):
    """Follows over Server-Sent Events like a browser: through the gateway, with the id of the last event."""

    gateway: str = ""
    key: str = ""

    transport = "sse"

    async def follow(self) -> None:
        path = f"/api/v1/agents/{self.agent_id}/events"
        last = {"Last-Event-ID": self.cursor} if self.cursor else {}
        headers = {"Accept": "text/event-stream", **last}
        try:
            async with (
                gateway_client(f"http://{self.gateway}", self.key) as http,
                http.stream("GET", path, params={"from": "start"}, headers=headers, timeout=_PATIENCE) as answer,
            ):
                if answer.status_code != httpx2.codes.OK:
                    raise BrokenOffError(str(answer.status_code), (await answer.aread()).decode())
                async for frame in frames_of(answer):
                    self.saw(frame.data["sessionId"], frame.data["seq"], frame.data["eventId"], frame.id)
        except httpx2.TransportError as error:
            raise BrokenOffError(grpc.StatusCode.UNAVAILABLE.name, repr(error)) from error


@asynccontextmanager
async def following(subscribers: Sequence[Subscriber]) -> AsyncIterator[None]:
    """Run all subscribers while the block runs."""
    tasks = [asyncio.create_task(each.run(), name=each.name) for each in subscribers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
