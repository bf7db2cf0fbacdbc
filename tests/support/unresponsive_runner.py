"""An unresponsive runner: the broker delivers its dispatches until the limit of deliveries."""

import asyncio
import dataclasses
from uuid import UUID, uuid4

from libs.bus import Bus, Delivery, PullLoop, Streams
from libs.dispatches import COMMANDS, runner_consumer
from tests.support.suite import Suite

MEDIUM = 1
"""The priority of a command without one."""
MAX_DELIVER = 3


async def take_connections(suite: Suite, runner_id: UUID) -> None:
    """Registers a runner without a process, and gives it the connections of all sessions."""
    await suite.rows(
        "insert into command.runners values (%s, 'deaf', 1, now(), now() + interval '1 hour', null)", runner_id
    )
    for state in ("connecting", "connected"):
        await suite.rows("update command.connections set state = %s, runner_id = %s", state, runner_id)


class UnresponsiveRunner:
    """Holds the agent's session and receives its dispatches, but never acknowledges or claims any.

    It keeps pulling until `messages` messages have reached the limit: the broker sends the advisory of one when it
    would be delivered next.
    """

    def __init__(self, suite: Suite, bus: Bus) -> None:
        self.runner_id = uuid4()
        self.deliveries: list[Delivery] = []
        self.messages = 1
        self._suite = suite
        self._streams = Streams(bus)
        # As a runner's, but the eighth delivery of that would take four minutes.
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
        await take_connections(self._suite, self.runner_id)
        self._task = asyncio.create_task(self._pull.run())

    async def die(self) -> None:
        """Makes its lease expire, like a dead runner's."""
        await self._suite.rows("update command.runners set lease_until = now() where runner_id = %s", self.runner_id)

    async def end(self) -> None:
        self._pull.stop()
        if self._task is not None:
            await asyncio.wait_for(self._task, 5)
