"""Cancelling all commands that match a filter."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import CancelCommandsRequest, CancelCommandsResponse, OpenCommandFilter
from libs.rpc.stubs import Stubs
from tests.support.client_calls import CANCELLED, RUNNING, get_command, in_state, make_agent, start, submit
from tests.support.outcomes import rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.suite import Suite


async def cancel_many(
    client: Stubs, *, limit: int = 0, dry_run: bool = False, request_id: str = "", **wanted: Any
) -> Any:
    request = CancelCommandsRequest(
        filter=OpenCommandFilter(**wanted), limit=limit, dry_run=dry_run, request_id=request_id
    )
    done: CancelCommandsResponse = await client.commands.CancelCommands(request)
    return done.cancelled, done.requested, done.more


async def states(client: Stubs, ids: list[str]) -> list[bool]:
    return [(await get_command(client, command_id)).state == CANCELLED for command_id in ids]


async def test_oldest_matching_commands_are_cancelled_first_up_to_the_limit(client: Stubs) -> None:
    await start(client)
    ids = [(await submit(client)).command_id for _ in range(5)]
    other = (await submit(client, "fail")).command_id
    assert await cancel_many(client, type="echo", limit=3, dry_run=True) == (3, 0, True)
    assert await states(client, ids) == [False] * 5
    assert await cancel_many(client, type="echo", limit=3) == (3, 0, True)
    assert await states(client, ids) == [True, True, True, False, False]
    assert await cancel_many(client, type="echo") == (2, 0, False)
    assert await cancel_many(client, type="echo") == (0, 0, False)
    assert await states(client, [*ids, other]) == [True] * 5 + [False]


async def test_running_commands_are_requested_to_stop_and_counted_separately(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    running = (await submit(client, "hang")).command_id
    waiting = (await submit(client, not_before=_tomorrow())).command_id
    await in_state(client, running, RUNNING)
    assert await cancel_many(client, agent_id="clock") == (1, 1, False)
    await in_state(client, running, CANCELLED)
    assert await states(client, [waiting]) == [True]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"agent_id": "clock"}, 3),
        ({"agent_id": "other"}, 1),
        ({"type": "fail"}, 1),
        ({"correlation_id": "c"}, 1),
        ({"states": [commands_pb2.COMMAND_STATE_SCHEDULED]}, 1),
        ({"states": [commands_pb2.COMMAND_STATE_SUCCEEDED]}, 0),
        ({"enqueued_after": Timestamp(seconds=4_000_000_000)}, 0),
        ({"enqueued_before": Timestamp(seconds=4_000_000_000)}, 4),
        ({"agent_id": "clock", "type": "fail"}, 1),
        ({"session_id": "ses-unknown"}, 0),
    ],
)
async def test_every_filter_field_restricts_what_is_cancelled(
    client: Stubs, wanted: dict[str, Any], count: int
) -> None:
    await make_agent(client, "other")
    await start(client)
    await start(client, "other")
    await submit(client)
    await submit(client, "fail")
    await submit(client, not_before=_tomorrow())
    spec = commands_pb2.CommandSpec(agent_id="other", type="echo", correlation_id="c")
    await client.commands.SubmitCommand(commands_pb2.SubmitCommandRequest(command=spec))
    assert await cancel_many(client, **wanted) == (count, 0, False)


async def test_repeated_cancel_with_a_key_cancels_nothing_more(client: Stubs) -> None:
    await start(client)
    await submit(client)
    assert await cancel_many(client, agent_id="clock", request_id="k") == (1, 0, False)
    later = (await submit(client)).command_id
    assert await cancel_many(client, agent_id="clock", request_id="k") == (1, 0, False)
    assert await states(client, [later]) == [False]
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await cancel_many(client, agent_id="clock", limit=7, request_id="k")


async def test_empty_filter_is_rejected_naming_the_field(client: Stubs) -> None:
    with rejected("FIELD_INVALID") as caught:
        await cancel_many(client)
    assert "filter" in str(caught.value)


async def test_filter_does_not_match_commands_of_other_tenants(suite: Suite, client: Stubs) -> None:
    await start(client)
    accepted = await submit(client)
    assert await cancel_many(suite.client(suite.new_key(tenant="globex")), agent_id="clock") == (0, 0, False)
    assert await states(client, [accepted.command_id]) == [False]


def _tomorrow() -> Timestamp:
    tomorrow = Timestamp()
    tomorrow.GetCurrentTime()
    tomorrow.seconds += 86_400
    return tomorrow
