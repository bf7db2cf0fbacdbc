"""A cancelled command has one outcome, whether it waits or runs, and whether it obeys or not (C5)."""

from collections import Counter

import orjson

from callboard.commands.v1 import commands_pb2
from libs.rpc.stubs import Stubs
from tests.support.client_calls import (
    CANCELLED,
    RUNNING,
    SUCCEEDED,
    cancel,
    ended,
    get_command,
    in_state,
    start,
    submit,
)
from tests.support.eventually import eventually
from tests.support.outcomes import all_of, rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import assert_gapless, event_types, events_of, types_of
from tests.support.suite import Suite


async def test_waiting_command_is_cancelled_immediately(suite: Suite, client: Stubs) -> None:
    session = await start(client)
    accepted = await submit(client)
    assert (await cancel(client, accepted.command_id)).state == CANCELLED
    assert (await cancel(client, accepted.command_id)).state == CANCELLED
    assert await event_types(client, session.session_id, accepted.command_id) == [
        "command.enqueued",
        "command.cancelled",
    ]
    assert await suite.value("select count(*) from command.ready") == 0


async def test_running_command_obeys_a_cancel_request(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await submit(client, "hang")
    await in_state(client, accepted.command_id, RUNNING)
    asked = await cancel(client, accepted.command_id)
    assert asked.HasField("cancel_requested_at")
    command = await ended(client, accepted.command_id, 3)
    assert command.state == CANCELLED
    assert not executor.running
    last = (await events_of(client, session_id))[-1]
    assert (last.type, orjson.loads(last.payload_json)["reason"]) == ("command.cancelled", "unwanted")
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED


async def test_command_that_ignores_its_cancel_can_write_nothing_more(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await submit(client, "deaf")
    await in_state(client, accepted.command_id, RUNNING)
    await cancel(client, accepted.command_id, mode=commands_pb2.CANCEL_MODE_IMMEDIATE)
    assert (await ended(client, accepted.command_id, 5)).state == CANCELLED
    before = types_of(await events_of(client, session_id))
    executor.gate.set()
    await eventually(lambda: not executor.running)
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED
    assert types_of(await events_of(client, session_id))[: len(before)] == before
    assert (await get_command(client, accepted.command_id)).state == CANCELLED
    assert Counter(await event_types(client, session_id, accepted.command_id))["command.cancelled"] == 1


async def test_finished_command_cannot_be_cancelled(client: Stubs, session_id: str) -> None:
    accepted = await submit(client)
    await ended(client, accepted.command_id)
    with rejected("COMMAND_FINISHED") as caught:
        await cancel(client, accepted.command_id)
    assert caught.value.metadata["state"] == "succeeded"
    with rejected("COMMAND_NOT_FOUND"):
        await cancel(client, "01a1fd31-2c30-73f5-9e53-243f1262b8c9")


async def test_cancel_that_races_with_completion_leaves_one_outcome(client: Stubs, session_id: str) -> None:
    accepted = [await submit(client) for _ in range(30)]
    await all_of(*(cancel(client, one.command_id) for one in accepted))
    for one in accepted:
        await ended(client, one.command_id)
    events = await events_of(client, session_id)
    assert_gapless(events)
    ends = Counter(e.command_id for e in events if e.type in ("command.cancelled", "command.completed"))
    assert ends == {one.command_id: 1 for one in accepted}
