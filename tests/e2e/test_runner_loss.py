"""Runners that are killed, paused or stopped in the middle of commands."""

import asyncio

import pytest

from callboard.commands.v1 import commands_pb2
from callboard.events.v1.events_pb2 import Event
from libs.rpc.stubs import Stubs
from tests.e2e.stories import connected_session, run_tool, settled_events, submit_many, told_of, until_told
from tests.support.client_calls import ended, submit
from tests.support.eventually import eventually
from tests.support.outcomes import timed
from tests.support.part import logged, runs
from tests.support.processes import Suite
from tests.support.running_processes import LEASE

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def _began(client: Stubs, session_id: str, count: int = 1) -> None:
    await until_told(client, session_id, "command.started", count)


def _runner_ids(events: list[Event], type_: str) -> list[str]:
    return [event.actor.removeprefix("runner:") for event in events if event.type == type_]


async def test_a_command_survives_the_kill_of_its_runner(suite: Suite) -> None:
    """A command whose runner is killed completes on the other one at attempt 2, within the lease and 5 seconds."""
    client = suite.client()
    session = await connected_session(client, "killed", "trial")
    seconds = 1.0
    command = await submit(
        client, "run_tool", {"tool": "sleep", "arguments": {"seconds": seconds}}, agent_id="killed"
    )  # fmt: skip
    runner = await suite.runner_of(command.command_id)
    await eventually(lambda: command.command_id in suite.tool_pids())
    tools = suite.tool_pids()[command.command_id]
    await runner.kill()
    done, took = await timed(ended(client, command.command_id))

    assert (done.state, done.attempt, done.charged_attempts) == (commands_pb2.COMMAND_STATE_SUCCEEDED, 2, 2), done
    assert took < LEASE + 5 + seconds
    events = await settled_events(suite, client, session.session_id)
    assert told_of(events, command.command_id) == [
        "command.enqueued", "command.started", "command.retrying", "command.started", "command.completed",
    ]  # fmt: skip
    first, second = _runner_ids(events, "command.started")
    assert first != second
    assert not any(runs(pid) for pid in tools), "the killed runner's tool runs on"


async def test_a_paused_runner_that_wakes_up_writes_nothing(suite: Suite) -> None:
    """What a runner held while it was paused past its lease is done by the other, and its own late ends are void."""
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
    await eventually(lambda: logged([runner], "runner_begins_again"), 20)

    # it is back with another id, and has nothing left of what it held
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


async def test_a_runner_that_is_stopped_drains_and_hands_over(suite: Suite) -> None:
    """At SIGTERM, what ends within the drain's time ends there; the rest goes to the other runner, uncharged."""
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
