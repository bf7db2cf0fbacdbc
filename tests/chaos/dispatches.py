"""Records what is published to the runners: a line {time, command_id} for each command in each dispatch."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats

from tests.chaos.broker_faults import POISON_ID
from tests.chaos.journal import Journal
from tests.chaos.rig import Rig


@asynccontextmanager
async def dispatches_recorded(rig: Rig, file: Path) -> AsyncIterator[None]:
    """Record dispatches while the block runs. Some are missed while the broker is down or restarts."""
    journal = Journal(file)

    async def note(message: Any) -> None:
        for command_id in _commands_of(message.data):
            journal.note(command_id=command_id)

    connection = await nats.connect(rig.nats_url, max_reconnect_attempts=-1, error_cb=_ignore)
    try:
        await connection.subscribe("commands.>", cb=note)
        yield
    finally:
        await connection.close()
        journal.close()


def _commands_of(data: bytes) -> list[str]:
    """Return the commands in a dispatch. Returns none for an invalid or a poisonous dispatch."""
    try:
        found = [command_id for command_id, _ in json.loads(data)]
    except (ValueError, TypeError):
        return []
    return [command_id for command_id in found if len(command_id) == len(POISON_ID) and command_id != POISON_ID]


async def _ignore(error: Exception) -> None:
    """Ignore errors: this run kills the broker on purpose."""
