"""When a command runs: its earliest time, its ordering key, its priority, and concurrency (C2)."""

import asyncio
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import (
    BulkSubmitCommandsRequest,
    CancelCommandRequest,
    CommandOptions,
    CommandSpec,
)
from libs.rpc.stubs import Stubs
from tests.support.client_calls import FAILED, RUNNING, SUCCEEDED, ended, get_command, in_state, quickly, start, submit
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.suite import Suite


async def test_scheduled_command_does_not_start_before_its_time(client: Stubs, session_id: str) -> None:
    when = datetime.now(UTC) + timedelta(seconds=1.2)
    not_before = Timestamp()
    not_before.FromDatetime(when)
    accepted = await submit(client, not_before=not_before)
    command = await get_command(client, accepted.command_id)
    assert command.state == commands_pb2.COMMAND_STATE_SCHEDULED
    assert command.next_attempt_at == not_before
    command = await ended(client, accepted.command_id)
    assert command.started_at.ToDatetime(UTC) >= when
    assert command.started_at.ToDatetime(UTC) < when + timedelta(seconds=2)


async def test_commands_of_one_ordering_key_run_one_at_a_time_in_submit_order(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    specs = [
        CommandSpec(agent_id="clock", type="fail" if number == 2 else "echo",
                    params_json='{"times": 1}' if number == 2 else f'{{"n": {number}}}',
                    options=CommandOptions(ordering_key="o", **quickly()))
        for number in range(12)
    ]  # fmt: skip
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=specs))
    wanted = [result.command.command_id for result in answer.results]
    for command_id in wanted:
        assert (await ended(client, command_id)).state == SUCCEEDED
    again = [*wanted[:3], wanted[2], *wanted[3:]]  # the third takes two attempts, and the fourth waits for both
    assert [command_id for command_id, _ in executor.began] == executor.ended == again
    assert executor.most_running == 1


async def test_cancelled_or_failed_command_unblocks_its_ordering_key(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    dying = await submit(client, "fail", {"retryable": False}, ordering_key="o")
    running = await submit(client, "hang", ordering_key="o")
    waiting = await submit(client, "echo", ordering_key="o")
    last = await submit(client, "echo", ordering_key="o")
    await in_state(client, running.command_id, RUNNING)
    assert (await get_command(client, dying.command_id)).state == FAILED
    await client.commands.CancelCommand(CancelCommandRequest(command_id=waiting.command_id))
    await client.commands.CancelCommand(CancelCommandRequest(command_id=running.command_id))
    assert (await ended(client, last.command_id)).state == SUCCEEDED
    assert executor.most_running == 1


async def test_commands_without_an_ordering_key_run_concurrently(
    client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await asyncio.gather(*(submit(client, "hang") for _ in range(20)))
    await eventually(lambda: len(executor.running) == 20)
    executor.gate.set()
    for one in accepted:
        assert (await ended(client, one.command_id)).state == SUCCEEDED


async def test_commands_of_higher_priority_start_first(suite: Suite, client: Stubs, executor: ScriptedExecutor) -> None:
    await suite.runner(executor, slots=1)
    await start(client)
    blocker = await submit(client, "hang")
    await in_state(client, blocker.command_id, RUNNING)
    wanted = {}
    for name in ("LOW", "NORMAL", "HIGH"):
        priority = commands_pb2.CommandPriority.Value(f"COMMAND_PRIORITY_{name}")
        wanted[name] = [(await submit(client, priority=priority)).command_id for _ in range(3)]
    await eventually(lambda: suite.runners[0].load["waiting"] == 9)
    executor.gate.set()
    for ids in wanted.values():
        for command_id in ids:
            await ended(client, command_id)
    order = [str(command_id) for command_id, _ in executor.began[1:]]
    assert [set(order[:3]), set(order[3:6]), set(order[6:])] == [
        set(wanted["HIGH"]), set(wanted["NORMAL"]), set(wanted["LOW"])
    ]  # fmt: skip
