"""A runner that is there, and takes nothing up: what is dispatched to it is delivered until the broker gives up."""

import asyncio
import dataclasses
from uuid import uuid4

from libs.bus import Bus, Delivery, PullLoop, Streams
from libs.dispatches import COMMANDS, runner_consumer
from tests.support.suite import Suite

MEDIUM = 1
"""The priority of a command that asks for none."""
MAX_DELIVER = 3


class DeafRunner:
    """Holds the agent's session, takes what is dispatched to it, and never says a word about any of it.

    It asks on until so many messages have come as often as they may: the broker tells of one when it would be next.
    """

    def __init__(self, suite: Suite, bus: Bus) -> None:
        self.runner_id = uuid4()
        self.deliveries: list[Delivery] = []
        self.messages = 1
        self._suite = suite
        self._streams = Streams(bus)
        # As a runner's, but that nobody waits four minutes for the eighth delivery.
        spec = runner_consumer(self.runner_id, MEDIUM)
        self._spec = dataclasses.replace(spec, ack_wait_seconds=0.1, max_deliver=MAX_DELIVER)
        self._pull = PullLoop(
            bus, COMMANDS.name, self._spec.name,
            free_slots=self._free_slots, on_message=self.deliveries.append, ensure=self._ensure,
        )  # fmt: skip
        self._task: asyncio.Task[None] | None = None

    def _free_slots(self) -> int:
        return int(len({each.stream_sequence for each in self.deliveries}) <= self.messages)

    async def _ensure(self) -> None:
        await self._streams.ensure_consumer(self._spec)

    async def take_session(self) -> None:
        await self._suite.rows(
            "insert into command.runners values (%s, 'deaf', 1, now(), now() + interval '1 hour', null)",
            self.runner_id,
        )
        await self._suite.rows("update command.connections set state = 'connected', runner_id = %s", self.runner_id)
        self._task = asyncio.create_task(self._pull.run())

    async def die(self) -> None:
        """Leaves its lease to lapse, as a dead runner does."""
        await self._suite.rows("update command.runners set lease_until = now() where runner_id = %s", self.runner_id)

    async def end(self) -> None:
        self._pull.stop()
        if self._task is not None:
            await asyncio.wait_for(self._task, 5)
