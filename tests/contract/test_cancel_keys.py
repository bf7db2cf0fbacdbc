"""A cancel by the key of the submit holds whenever the command comes."""

import asyncio
import random

from callboard.commands.v1.commands_pb2 import CancelCommandRequest, CancelCommandResponse
from libs.rpc.stubs import Stubs
from tests.support.client_calls import CANCELLED, SUCCEEDED, ended, get_command, make_agent, start, submit
from tests.support.outcomes import rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import event_types, events_of
from tests.support.suite import Suite


async def cancel_key(client: Stubs, key: str, reason: str = "") -> CancelCommandResponse:
    return await client.commands.CancelCommand(CancelCommandRequest(submit_request_id=key, reason=reason))


async def test_command_cancelled_by_key_before_its_submit_never_runs(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    for reason in ("unwanted", "again"):
        assert not (await cancel_key(client, "k", reason)).HasField("command")
    accepted = await submit(client, request_id="k")
    command = await get_command(client, accepted.command_id)
    assert command.state == CANCELLED
    assert command.HasField("finished_at")
    assert command.HasField("cancel_requested_at")
    assert (await submit(client, request_id="k")).command_id == accepted.command_id
    assert await event_types(client, session_id, accepted.command_id) == ["command.enqueued", "command.cancelled"]
    last = next(e for e in await events_of(client, session_id) if e.type == "command.cancelled")
    assert '"unwanted"' in last.payload_json
    assert (await cancel_key(client, "k")).command.state == CANCELLED
    assert (await ended(client, (await submit(client, request_id="l")).command_id)).state == SUCCEEDED
    assert accepted.command_id not in {command_id for command_id, _ in executor.began}


async def test_submitted_command_can_be_cancelled_by_its_key(client: Stubs) -> None:
    await start(client)
    accepted = await submit(client, request_id="k")
    cancelled = (await cancel_key(client, "k")).command
    assert (cancelled.command_id, cancelled.state) == (accepted.command_id, CANCELLED)


async def test_finished_command_cannot_be_cancelled_by_its_key(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, request_id="k")
    await ended(client, accepted.command_id)
    with rejected("COMMAND_FINISHED"):
        await cancel_key(client, "k")


async def test_cancel_by_key_survives_a_rejected_submit(client: Stubs) -> None:
    await cancel_key(client, "k")
    with rejected("SESSION_NOT_ACTIVE"):
        await submit(client, request_id="k")
    await start(client)
    accepted = await submit(client, "echo", {"other": "body"}, request_id="k")
    assert (await get_command(client, accepted.command_id)).state == CANCELLED


async def test_concurrent_submit_and_cancel_by_key_always_cancel(suite: Suite, client: Stubs) -> None:
    await start(client)
    order = random.Random(7)

    async def both(key: str) -> str:
        cancelling = asyncio.create_task(cancel_key(client, key)) if order.randrange(2) else None
        accepted, _ = await asyncio.gather(submit(client, request_id=key), cancelling or cancel_key(client, key))
        return accepted.command_id

    ids = await asyncio.gather(*(both(f"k{number}") for number in range(60)))
    assert {(await get_command(client, command_id)).state for command_id in ids} == {CANCELLED}
    assert await suite.value("select count(*) from command.ready") == 0


async def test_cancel_by_key_does_not_affect_other_tenants(suite: Suite, client: Stubs) -> None:
    other = suite.client(suite.new_key(tenant="globex"))
    await make_agent(other)
    await start(client)
    accepted = await submit(client, request_id="k")
    assert not (await cancel_key(other, "k")).HasField("command")
    assert (await get_command(client, accepted.command_id)).state != CANCELLED
