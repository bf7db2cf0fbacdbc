"""Faults of deliveries: copies out of order, late acks, and unreadable messages."""

import asyncio
import json
import random
from contextlib import suppress
from typing import Any

import nats
import nats.errors

from tests.chaos.rig import TENANT, Rig

POISON_ID = "00000000-0000-7000-8000-000000000000"
"""The id in a poisonous dispatch. No such command exists."""

_COPIES = 3
_OLD_ACKS = 200  # how many acks are kept for repetition


class _Repeater:
    """Receives every dispatch and ack, and sends them again."""

    def __init__(self, connection: Any, draw: random.Random) -> None:
        self._connection = connection
        self._draw = draw
        self._acks: list[tuple[str, bytes]] = []
        self._copied: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.copies = self.old_acks = 0

    async def dispatched(self, message: Any) -> None:
        """Send delayed copies of a dispatch. Ignores its own copies, which arrive here too."""
        if message.data in self._copied:
            return
        self._copied.add(message.data)
        for _ in range(_COPIES):
            later = _later(self._connection, message.subject, message.data, self._draw.uniform(0, 3))
            self._tasks.add(task := asyncio.create_task(later))
            task.add_done_callback(self._tasks.discard)
            self.copies += 1

    async def acknowledged(self, message: Any) -> None:
        """Send an earlier ack again, at random. Its own acks arrive here too."""
        self._acks = [*self._acks, (message.subject, message.data)][-_OLD_ACKS:]
        if self._draw.random() < 0.2:
            self.old_acks += 1
            await self._connection.publish(*self._draw.choice(self._acks))

    async def finish(self) -> None:
        """Wait until all copies are sent."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def repeat_deliveries(rig: Rig, seconds: float, draw: random.Random) -> None:
    """Publish each dispatch three more times, late and out of order, and send old acks again."""
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
    """Send every runner dispatches that are not JSON, malformed, or for a command that does not exist."""
    connection = await nats.connect(rig.nats_url, error_cb=_ignore)
    try:
        stream = connection.jetstream()
        for consumer in await stream.consumers_info("COMMANDS"):
            for pattern in consumer.config.filter_subjects or [consumer.config.filter_subject or ""]:
                tokens = pattern.split(".")
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
        raise OSError(f"cannot publish poison: {error!r}") from error
    finally:
        await connection.close()


async def undelivered(rig: Rig) -> dict[str, list[int]]:
    """Return the numbers of pending and unacknowledged messages of each dispatch consumer, by name."""
    connection = await nats.connect(rig.nats_url, error_cb=_ignore)
    try:
        found = await connection.jetstream().consumers_info("COMMANDS")
        return {each.name: [each.num_pending or 0, each.num_ack_pending or 0] for each in found}
    except nats.errors.Error:
        return {"all": [-1, -1]}
    finally:
        await connection.close()


async def _ignore(error: Exception) -> None:
    """Ignore errors: this run cuts connections on purpose."""
