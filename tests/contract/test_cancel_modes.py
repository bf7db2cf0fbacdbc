"""The cancel modes, and the events that a caller sees of each (C5)."""

import orjson
import pytest
from google.protobuf.duration_pb2 import Duration

from callboard.commands.v1 import commands_pb2
from libs.rpc.stubs import Stubs
from tests.support.client_calls import CANCELLED, RUNNING, SUCCEEDED, cancel, ended, get_command, in_state, submit
from tests.support.eventually import eventually
from tests.support.outcomes import rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import event_types, events_of
from tests.support.suite import Suite

IMMEDIATE, KILL = commands_pb2.CANCEL_MODE_IMMEDIATE, commands_pb2.CANCEL_MODE_KILL
BEGUN = ["command.enqueued", "command.started"]


async def running(client: Stubs, type_: str = "hang") -> str:
    accepted = await submit(client, type_)
    await in_state(client, accepted.command_id, RUNNING)
    return accepted.command_id


async def test_graceful_cancel_is_requested_acknowledged_and_completed_in_events(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    command_id = await running(client)
    await cancel(client, command_id)
    assert (await ended(client, command_id)).state == CANCELLED
    ways = ["command.cancel_requested", "command.cancel_acknowledged", "command.cancelled"]
    assert await event_types(client, session_id, command_id) == [*BEGUN, *ways]
    asked = next(e for e in await events_of(client, session_id) if e.type == "command.cancel_requested")
    payload = orjson.loads(asked.payload_json)
    assert (payload["mode"], payload["reason"], payload["attempt"]) == ("graceful", "unwanted", 1)
    assert payload["deadline"].endswith("Z")
    assert asked.actor.startswith("key:")


async def test_graceful_cancel_that_is_ignored_is_forced_after_the_grace_period(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    command_id = await running(client, "deaf")
    await cancel(client, command_id, grace=Duration(seconds=1))
    assert (await ended(client, command_id)).state == CANCELLED
    assert executor.running == {command_id}
    before = await event_types(client, session_id, command_id)
    assert before[2:] == ["command.cancel_requested", "command.cancel_acknowledged", "command.cancelled"]
    executor.gate.set()
    await eventually(lambda: not executor.running)
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED
    assert await event_types(client, session_id, command_id) == before


@pytest.mark.parametrize("mode", [IMMEDIATE, KILL])
async def test_immediate_cancel_ends_the_command_before_it_answers(
    mode: commands_pb2.CancelMode, suite: Suite, client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    command_id = await running(client)
    assert (await cancel(client, command_id, mode=mode)).state == CANCELLED
    assert await event_types(client, session_id, command_id) == [
        *BEGUN,
        "command.cancel_requested",
        "command.cancelled",
    ]
    await eventually(lambda: not executor.running)
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED
    assert await event_types(client, session_id, command_id) == [
        *BEGUN,
        "command.cancel_requested",
        "command.cancelled",
    ]
    rows = await suite.rows("select outcome, charged from command.attempts where command_id = %s", command_id)
    assert rows == [("cancelled", False)]


async def test_kill_closes_the_connection_and_the_session_gets_a_new_one(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    command_id = await running(client, "deaf")
    assert (await cancel(client, command_id, mode=KILL)).state == CANCELLED
    await eventually(lambda: (executor.closed, executor.opened) == (1, 2))
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED
    executor.gate.set()


async def test_graceful_cancel_can_be_escalated(client: Stubs, session_id: str, executor: ScriptedExecutor) -> None:
    command_id = await running(client, "deaf")
    assert (await cancel(client, command_id, grace=Duration(seconds=300))).state == RUNNING
    assert (await cancel(client, command_id, grace=Duration(seconds=300))).state == RUNNING
    assert (await cancel(client, command_id, mode=IMMEDIATE)).state == CANCELLED
    types = await event_types(client, session_id, command_id)
    assert [types.count(f"command.{way}") for way in ("cancel_requested", "cancelled")] == [1, 1]
    assert (await cancel(client, command_id, mode=KILL)).state == CANCELLED
    executor.gate.set()


async def test_runner_abandons_a_command_whose_lease_it_lost(
    suite: Suite, client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    command_id = await running(client)
    await suite.rows(
        "update command.commands set lease_token = gen_random_uuid() where command_id = %s", command_id
    )  # fmt: skip
    await eventually(lambda: not executor.running)
    assert (await get_command(client, command_id)).state == RUNNING
    assert await event_types(client, session_id, command_id) == BEGUN


async def test_immediate_cancel_lets_the_next_command_of_an_ordering_key_start(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    first = await submit(client, "hang", ordering_key="o")
    behind = await submit(client, ordering_key="o")
    await in_state(client, first.command_id, RUNNING)
    await cancel(client, first.command_id, mode=IMMEDIATE)
    assert (await ended(client, behind.command_id)).state == SUCCEEDED


async def test_cancel_takes_either_a_command_id_or_a_submit_key(client: Stubs) -> None:
    request = commands_pb2.CancelCommandRequest
    for unclear in (request(), request(command_id="x", submit_request_id="k")):
        with rejected("FIELD_INVALID"):
            await client.commands.CancelCommand(unclear)
