"""Subscribers: follow agents' streams from the beginning over gRPC, leave and come back with their cursor."""

import asyncio
import random
from dataclasses import dataclass, field

import grpc

from callboard.aio import CallboardError, Client
from callboard.events.v1.events_pb2 import STREAM_START_BEGINNING
from tests.chaos.journal import Journal

_PATIENCE = 60.0  # seconds without a word before the client gives up, and we begin again


@dataclass
class Subscriber:
    """Follows one agent; its events are lines {time, subscriber, agent_id, session_id, seq, event_id}."""

    name: str
    agent_id: str
    clients: list[Client]
    journal: Journal
    draw: random.Random
    cursor: str | None = None
    heads: dict[str, int] = field(default_factory=dict)
    """The last seq that was seen of each session."""

    async def run(self) -> None:
        """Follows until cancelled; leaves by itself every now and then, mid-stream, and comes back elsewhere."""
        while True:
            try:
                async with asyncio.timeout(self.draw.uniform(4, 30)):
                    await self._follow(self.draw.choice(self.clients))
            except TimeoutError:
                pass
            except CallboardError as error:
                self.journal.note(subscriber=self.name, error=error.code.name, reason=error.reason)
                if error.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    await asyncio.sleep(1)
            await asyncio.sleep(self.draw.uniform(0, 0.2))

    async def _follow(self, client: Client) -> None:
        start = STREAM_START_BEGINNING
        events = client.follow_events(agent_id=self.agent_id, cursor=self.cursor, start=start, patience=_PATIENCE)
        try:
            async for streamed in events:
                event, self.cursor = streamed.event, streamed.cursor
                self.heads[event.session_id] = event.seq
                self.journal.note(
                    subscriber=self.name, agent_id=self.agent_id, session_id=event.session_id, seq=event.seq,
                    event_id=event.event_id,
                )  # fmt: skip
        finally:
            await events.aclose()
