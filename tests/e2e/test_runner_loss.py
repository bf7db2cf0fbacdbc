"""Runners that are killed, paused or stopped while commands run."""

import asyncio

import pytest

from callboard.commands.v1 import commands_pb2
from callboard.events.v1.events_pb2 import Event
from libs.rpc.stubs import Stubs
from tests.e2e.steps import connected_session, run_tool, settled_events, submit_many, types_of_command, until_event
from tests.support.client_calls import ended, submit
from tests.support.eventually import eventually
from tests.support.processes import Suite
from tests.support.suite_process import logged, runs

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def _began(client: Stubs, session_id: str, count: int = 1) -> None:
    await until_event(client, session_id, "command.started", count)


def _runner_ids(events: list[Event], type_: str) -> list[str]:
    return [event.actor.removeprefix("runner:") for event in events if event.type == type_]


async def test_command_of_a_killed_runner_completes_on_another(suite: Suite) -> None:
    """The command completes on the other runner at attempt 2. `make chaos-proofs` measures how soon."""
    client = suite.client()
    session = await connected_session(client, "killed", "trial")
    command = await submit(
        client, "run_tool", {"tool": "sleep", "arguments": {"seconds": 1.0}}, agent_id="killed"
    )  # fmt: skip
    runner = await suite.runner_of(command.command_id)
    await eventually(lambda: command.command_id in suite.tool_pids())
    tools = suite.tool_pids()[command.command_id]
    await runner.kill()
    done = await ended(client, command.command_id)

    assert (done.state, done.attempt, done.charged_attempts) == (commands_pb2.COMMAND_STATE_SUCCEEDED, 2, 2), done
    events = await settled_events(suite, client, session.session_id)
    assert types_of_command(events, command.command_id) == [
        "command.enqueued", "command.started", "command.retrying", "command.started", "command.completed",
    ]  # fmt: skip
    first, second = _runner_ids(events, "command.started")
    assert first != second
    assert not any(runs(pid) for pid in tools), "the killed runner's tool runs on"


async def test_runner_resumed_after_its_lease_writes_nothing(suite: Suite) -> None:
    """The other runner runs the commands of one that was paused past its lease, whose late results are rejected."""
    client = suite.client()
    echoing = await connected_session(client, "paused-echo")
    runner = await suite.runner_of_session(echoing.session_id)
    ids = await submit_many(client, "paused-echo", 20, "sleep", '{"seconds": 1}')
    await _began(client, echoing.session_id, len(ids))
    runner.pause()
    try:
        outcomes = [await ended(client, command_id) for command_id in ids]
        before = await settled_events(suite, client, echoing.session_id)
    finally:
        runner.resume()
    assert {(done.state, done.attempt) for done in outcomes} == {(commands_pb2.COMMAND_STATE_SUCCEEDED, 2)}
    await eventually(lambda: logged([runner], "runner_restarting"), 20)

    # it is back with another id, and without its old commands
    holder = list(dict.fromkeys(_runner_ids(before, "command.started")))
    assert len(holder) == 2
    after = await settled_events(suite, client, echoing.session_id)
    assert [event.event_id for event in after] == [event.event_id for event in before]
    attempts = await suite.rows(
        "select attempt, outcome, charged, runner_id::text, count(*) from command.attempts "
        "where command_id = any (%s::uuid[]) group by 1, 2, 3, 4 order by 1",
        ids,
    )
    assert attempts == [(1, "retrying", True, holder[0], 20), (2, "succeeded", True, holder[1], 20)]
    again = await submit(client, agent_id="paused-echo")
    assert (await ended(client, again.command_id)).state == commands_pb2.COMMAND_STATE_SUCCEEDED


async def test_stopped_runner_drains_and_releases_its_other_commands(suite: Suite) -> None:
    """After SIGTERM, commands can finish within the drain time. The rest moves to the other runner, uncharged."""
    client = suite.client()
    session = await connected_session(client, "drained", "trial")
    short = await run_tool(client, "drained", "sleep", seconds=0.8)
    long = await run_tool(client, "drained", "sleep", seconds=2.5)
    await _began(client, session.session_id, 2)
    runner = await suite.runner_of(long.command_id)
    stopping = asyncio.create_task(runner.end())
    kept, moved = await ended(client, short.command_id), await ended(client, long.command_id)
    assert await stopping == 0

    assert (kept.state, kept.attempt) == (commands_pb2.COMMAND_STATE_SUCCEEDED, 1)
    assert (moved.state, moved.attempt) == (commands_pb2.COMMAND_STATE_SUCCEEDED, 2)
    await settled_events(suite, client, session.session_id)
    attempts = await suite.rows(
        "select attempt, outcome, charged from command.attempts where command_id = %s order by 1", long.command_id
    )
    assert attempts == [(1, "released", False), (2, "succeeded", True)]
