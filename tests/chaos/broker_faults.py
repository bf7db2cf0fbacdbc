"""What can be done to deliveries: copies out of order, acks that come late, messages that nobody can read."""

import asyncio
import json
import random
from contextlib import suppress
from typing import Any

import nats
import nats.errors

from tests.chaos.rig import TENANT, Rig

POISON_ID = "00000000-0000-7000-8000-000000000000"
"""The command of a poisonous dispatch: there is none such."""

_COPIES = 3
_OLD_ACKS = 200  # how many acks are kept to be sent again


class _Repeater:
    """Sees every dispatch and every ack that goes by, and sends them again."""

    def __init__(self, connection: Any, draw: random.Random) -> None:
        self._connection = connection
        self._draw = draw
        self._acks: list[tuple[str, bytes]] = []
        self._copied: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.copies = self.old_acks = 0

    async def dispatched(self, message: Any) -> None:
        """Sends copies of a dispatch, each a while later; a copy of ours comes by as well."""
        if message.data in self._copied:
            return
        self._copied.add(message.data)
        for _ in range(_COPIES):
            later = _later(self._connection, message.subject, message.data, self._draw.uniform(0, 3))
            self._tasks.add(task := asyncio.create_task(later))
            task.add_done_callback(self._tasks.discard)
            self.copies += 1

    async def acknowledged(self, message: Any) -> None:
        """Sends some ack of before again, now and then; ours come by too."""
        self._acks = [*self._acks, (message.subject, message.data)][-_OLD_ACKS:]
        if self._draw.random() < 0.2:
            self.old_acks += 1
            await self._connection.publish(*self._draw.choice(self._acks))

    async def finish(self) -> None:
        """Waits for the copies that are still to go."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def repeat_deliveries(rig: Rig, seconds: float, draw: random.Random) -> None:
    """Publishes each dispatch three times more, late and shuffled, and sends old acks again."""
    connection = await nats.connect(rig.nats_url, max_reconnect_attempts=-1, error_cb=_ignore)
    repeater = _Repeater(connection, draw)
    try:
        await connection.subscribe("commands.>", cb=repeater.dispatched)
        await connection.subscribe("$JS.ACK.>", cb=repeater.acknowledged)
        await asyncio.sleep(seconds)
        await repeater.finish()
    finally:
        rig.faults.note(phase="note", copies=repeater.copies, old_acks=repeater.old_acks)
        await connection.close()


async def _later(connection: Any, subject: str, data: bytes, seconds: float) -> None:
    await asyncio.sleep(seconds)
    with suppress(nats.errors.Error):
        await connection.publish(subject, data)


async def publish_poison(rig: Rig) -> None:
    """Sends every runner dispatches that are no JSON, of no command, or of a wrong form."""
    connection = await nats.connect(rig.nats_url, error_cb=_ignore)
    try:
        stream = connection.jetstream()
        for consumer in await stream.consumers_info("COMMANDS"):
            for wanted in consumer.config.filter_subjects or [consumer.config.filter_subject or ""]:
                tokens = wanted.split(".")
                subject = ".".join(["commands", TENANT, tokens[2], "0", tokens[4]]) if len(tokens) == 5 else ""
                for body in (
                    b"\xff\x00",
                    b"{}",
                    json.dumps([[POISON_ID, 1]]).encode(),
                    b'[["x", "y"]]',
                    b"[[1]]",
                ):
                    if subject:
                        await stream.publish(subject, body, timeout=5)
    except nats.errors.Error as error:
        raise OSError(f"no poison: {error!r}") from error
    finally:
        await connection.close()


async def undelivered(rig: Rig) -> dict[str, list[int]]:
    """The pending and the unacknowledged messages of each consumer of the dispatches, by its name."""
    connection = await nats.connect(rig.nats_url, error_cb=_ignore)
    try:
        found = await connection.jetstream().consumers_info("COMMANDS")
        return {each.name: [each.num_pending or 0, each.num_ack_pending or 0] for each in found}
    except nats.errors.Error:
        return {"all": [-1, -1]}
    finally:
        await connection.close()


async def _ignore(error: Exception) -> None:
    """Connections are cut here by design."""
