"""Commands to a real agent: the trial MCP server over stdio, in its own processes."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import orjson
import pytest
from google.protobuf.duration_pb2 import Duration

from callboard.commands.v1.commands_pb2 import (
    COMMAND_STATE_CANCELLED,
    COMMAND_STATE_FAILED,
    COMMAND_STATE_SUCCEEDED,
    CancelCommandRequest,
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    RequeueDeadLetterRequest,
)
from callboard.errors.v1 import errors_pb2
from callboard.events.v1.events_pb2 import Event
from callboard.sessions.v1.sessions_pb2 import SESSION_STATE_STOPPED
from libs.rpc.stubs import Stubs
from tests.e2e.steps import connected_session, run_tool, settled_events, stop, types_of_command, until_event
from tests.support.client_calls import ended, submit
from tests.support.eventually import eventually
from tests.support.outcomes import rejected, timed
from tests.support.processes import Suite
from tests.support.stored_events import events_of
from tests.support.suite_process import runs

pytestmark = pytest.mark.asyncio(loop_scope="package")
SOON = Duration(nanos=20_000_000)


async def _tools_of(suite: Suite, command_id: str) -> set[int]:
    """Waits until the trial server has started the command, and returns the processes that did."""
    await eventually(lambda: command_id in suite.tool_pids())
    return suite.tool_pids()[command_id]


def _payloads(events: list[Event], command_id: str, type_: str) -> list[dict[str, object]]:
    return [
        orjson.loads(event.payload_json) for event in events if event.type == type_ and event.command_id == command_id
    ]


async def test_stop_cancels_a_running_command_and_ends_its_tool_process(suite: Suite) -> None:
    """A stop with a running command answers within 8 seconds. The command is cancelled and its tool's process gone."""
    client = suite.client()
    session = await connected_session(client, "stopped", "trial")
    command = await run_tool(client, "stopped", "sleep", seconds=60)
    pids = await _tools_of(suite, command.command_id)
    stopped, took = await timed(stop(client, "stopped"))
    assert took < 8
    assert stopped.state == SESSION_STATE_STOPPED
    assert (await ended(client, command.command_id)).state == COMMAND_STATE_CANCELLED
    await eventually(lambda: not any(runs(pid) for pid in pids))
    events = await settled_events(suite, client, session.session_id)
    ways = ["command.cancel_requested", "command.cancel_acknowledged", "command.cancelled"]
    assert types_of_command(events, command.command_id) == ["command.enqueued", "command.started", *ways]
    assert events[-1].type == "session.stopped"
    with rejected("SESSION_NOT_ACTIVE"):
        await run_tool(client, "stopped", "echo", text="too late")


async def test_cancel_ends_one_command_and_keeps_the_session(suite: Suite) -> None:
    """A running command is cancelled within 5 seconds. The connection and other commands continue."""
    client = suite.client()
    session = await connected_session(client, "cancelling", "trial")
    innocent = await run_tool(client, "cancelling", "sleep", seconds=1)
    command = await run_tool(client, "cancelling", "sleep", seconds=60)
    await _tools_of(suite, command.command_id)
    began = time.monotonic()
    await client.commands.CancelCommand(CancelCommandRequest(command_id=command.command_id, reason="enough"))
    done = await ended(client, command.command_id)
    assert time.monotonic() - began < 5
    assert done.state == COMMAND_STATE_CANCELLED
    assert (await ended(client, innocent.command_id)).attempt == 1
    await eventually(lambda: "cancelled" in {line["phase"] for line in suite.effect_lines()})
    again = await client.commands.CancelCommand(CancelCommandRequest(command_id=command.command_id))
    assert again.command == done
    with rejected("COMMAND_FINISHED"):
        await client.commands.CancelCommand(CancelCommandRequest(command_id=innocent.command_id))
    events = await settled_events(suite, client, session.session_id)
    (payload,) = _payloads(events, command.command_id, "command.cancelled")
    assert payload["reason"] == "enough"
    assert len(await events_of(client, session.session_id, types=["agent.connected"])) == 1


async def test_command_that_crashes_its_server_does_not_fail_others(suite: Suite) -> None:
    """A command that kills its server fails after 3 attempts. A command that ran beside it completes.

    The agent is reconnected each time. The dead letter is listed, and can be requeued once.
    """
    client = suite.client()
    session = await connected_session(client, "crashing", "trial")
    innocent = await run_tool(client, "crashing", "sleep", seconds=1)
    await _tools_of(suite, innocent.command_id)
    crash = await submit(
        client, "run_tool", {"tool": "crash"}, agent_id="crashing", backoff=SOON, max_backoff=SOON
    )  # fmt: skip
    dead, spared = await asyncio.gather(
        ended(client, crash.command_id, timeout=30), ended(client, innocent.command_id, timeout=30)
    )
    assert (dead.state, dead.charged_attempts) == (COMMAND_STATE_FAILED, 3), dead
    assert dead.error.code == errors_pb2.ERROR_REASON_CONNECTION_LOST
    assert spared.state == COMMAND_STATE_SUCCEEDED, spared

    after = await run_tool(client, "crashing", "echo", text="alive")
    assert (await ended(client, after.command_id)).state == COMMAND_STATE_SUCCEEDED
    events = await settled_events(suite, client, session.session_id)
    assert Counter(event.type for event in events)["agent.connected"] >= 2
    assert types_of_command(events, crash.command_id)[-2:] == ["command.failed", "command.dead_lettered"]

    listed = await client.dead_letters.ListDeadLetters(ListDeadLettersRequest(agent_id="crashing"))
    (dead_letter,) = listed.dead_letters
    assert (dead_letter.command.command_id, dead_letter.reason) == (
        crash.command_id, errors_pb2.ERROR_REASON_CONNECTION_LOST
    )  # fmt: skip
    found = await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=crash.command_id))
    assert [attempt.charged for attempt in found.dead_letter.attempts].count(True) == 3

    request = RequeueDeadLetterRequest(command_id=crash.command_id)
    again = (await client.dead_letters.RequeueDeadLetter(request)).command
    assert again.command_id != crash.command_id
    with rejected("DEAD_LETTER_REQUEUED"):
        await client.dead_letters.RequeueDeadLetter(request)
    await stop(client, "crashing")


async def test_tool_that_fails_twice_succeeds_at_its_third_attempt(suite: Suite) -> None:
    """Errors of an idempotent tool are retried until it succeeds, and each retry has an event with the error."""
    client = suite.client()
    session = await connected_session(client, "flaky", "trial")
    params = {"tool": "flaky", "arguments": {"key": session.session_id, "failures": 2}}
    command = await submit(client, "run_tool", params, agent_id="flaky", backoff=SOON)
    done = await ended(client, command.command_id)
    assert (done.state, done.attempt) == (COMMAND_STATE_SUCCEEDED, 3), done
    assert "worked at call 3" in done.result_json
    events = await settled_events(suite, client, session.session_id)
    retried = ["command.started", "command.retrying"]
    assert types_of_command(events, command.command_id) == [
        "command.enqueued", *retried, *retried, "command.started", "command.completed",
    ]  # fmt: skip
    for number, payload in enumerate(_payloads(events, command.command_id, "command.retrying"), start=1):
        assert payload["attempt"] == number
        assert isinstance(payload["error"], dict)
        assert payload["error"]["code"] == "TOOL_ERROR"
        assert "nextAttemptAt" in payload


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("fail", {"message": "on purpose"}, errors_pb2.ERROR_REASON_TOOL_ERROR),
        ("nowhere", {}, errors_pb2.ERROR_REASON_TOOL_NOT_FOUND),
        ("sleep", {"seconds": "long"}, errors_pb2.ERROR_REASON_INVALID_ARGUMENTS),
    ],
)
async def test_failure_that_a_retry_cannot_fix_is_a_dead_letter_at_once(
    suite: Suite, tool: str, arguments: dict[str, str], reason: errors_pb2.ErrorReason.ValueType
) -> None:
    """Errors of a tool that is not idempotent, an unknown tool and wrong arguments are not retried."""
    client, agent_id = suite.client(), f"dead-{tool}"
    session = await connected_session(client, agent_id, "trial")
    command = await run_tool(client, agent_id, tool, **arguments)
    done = await ended(client, command.command_id)
    assert (done.state, done.attempt, done.error.code) == (COMMAND_STATE_FAILED, 1, reason), done
    assert tool != "fail" or "on purpose" in done.error.message
    events = await settled_events(suite, client, session.session_id)
    ending = ["command.started", "command.failed", "command.dead_lettered"]
    assert types_of_command(events, command.command_id) == ["command.enqueued", *ending]


async def test_progress_is_rate_limited_and_a_large_result_is_not_in_its_event(suite: Suite) -> None:
    """Progress makes at most ten events a second. A result above 256 KiB is in the command and not in its event."""
    client = suite.client()
    session = await connected_session(client, "telling", "trial")
    counting = await run_tool(client, "telling", "count", to=100, delay=0.01)
    size = 400 * 1024
    big = await run_tool(client, "telling", "big", bytes=size)
    counted, large = await ended(client, counting.command_id), await ended(client, big.command_id)
    assert counted.progress.progress == counted.progress.total == 100
    assert len(orjson.loads(large.result_json)["content"][0]["text"]) == size

    events = await settled_events(suite, client, session.session_id)
    (completed,) = _payloads(events, big.command_id, "command.completed")
    assert "result" not in completed
    assert isinstance(completed["resultBytes"], int)
    assert completed["resultBytes"] > size
    times = [
        _moment(event)
        for event in events
        if event.type == "command.progress" and event.command_id == counting.command_id
    ]
    assert len(times) >= 3
    for index, first in enumerate(times[:-10]):  # no eleven are within a second; the last event has what remained
        assert index + 11 == len(times) or (times[index + 10] - first).total_seconds() > 0.9


def _moment(event: Event) -> datetime:
    return event.created_at.ToDatetime(UTC)


async def test_tool_keeps_its_state_until_the_session_ends(suite: Suite) -> None:
    """All commands of a session run in the same process, and the next session gets a new one."""
    client = suite.client()
    await connected_session(client, "noting", "trial")
    for text in ("one", "two"):
        command = await run_tool(client, "noting", "note", text=text)
        await ended(client, command.command_id)
    kept = await run_tool(client, "noting", "notes")
    assert '["one","two"]' in (await ended(client, kept.command_id)).result_json.replace(" ", "")
    await stop(client, "noting")
    session = await _start_again(client, "noting")
    kept = await run_tool(client, "noting", "notes")
    assert "one" not in (await ended(client, kept.command_id)).result_json
    await until_event(client, session, "agent.connected")


async def _start_again(client: Stubs, agent_id: str) -> str:
    from tests.support.client_calls import start

    return (await start(client, agent_id)).session_id
