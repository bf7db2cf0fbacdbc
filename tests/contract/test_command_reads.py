"""Reading commands: events, progress, results and lists (C4)."""

from typing import Any

import orjson
import pytest

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import CancelCommandRequest, ListCommandsRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import RUNNING, SUCCEEDED, ended, get_command, start, submit
from tests.support.outcomes import rejected
from tests.support.stored_events import assert_gapless, event_types, events_of, types_of
from tests.support.suite import Suite


async def test_command_runs_once_and_its_events_report_it(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, "echo", {"text": "hello"})
    assert (accepted.agent_id, accepted.session_id) == ("clock", session_id)
    assert accepted.correlation_id
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 1, 1)
    assert orjson.loads(command.result_json) == {"echo": {"text": "hello"}}
    assert command.requested_by.startswith("key:")
    assert (command.options.max_attempts, command.options.timeout.seconds) == (3, 300)
    assert command.enqueued_at.ToDatetime() <= command.started_at.ToDatetime() <= command.finished_at.ToDatetime()
    assert command.enqueued_at == accepted.enqueued_at
    assert await event_types(client, session_id, accepted.command_id) == [
        "command.enqueued", "command.started", "command.completed",
    ]  # fmt: skip
    events = await events_of(client, session_id)
    assert_gapless(events)
    assert {event.correlation_id for event in events if event.command_id} == {accepted.correlation_id}
    assert orjson.loads(events[-1].payload_json)["result"] == {"echo": {"text": "hello"}}


@pytest.mark.parametrize("size", [1000, 200_000, 300_000, 2_000_000])
async def test_results_of_any_size_are_returned_whole(suite: Suite, client: Stubs, session_id: str, size: int) -> None:
    accepted = await submit(client, "big", {"bytes": size})
    command = await ended(client, accepted.command_id)
    assert command.state == SUCCEEDED
    assert orjson.loads(command.result_json) == {"text": "x" * size}
    apart = await suite.value("select count(*) from command.results")
    assert apart == (size > 256 * 1024)
    completed = (await events_of(client, session_id))[-1]
    payload = orjson.loads(completed.payload_json)
    assert ("result" in payload) is (size < 16_000)
    assert len(completed.payload_json) < 17_000


async def test_progress_is_reported_at_most_ten_times_a_second(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, "progress", {"steps": 60, "pause": 0.005})
    command = await ended(client, accepted.command_id)
    assert (command.progress.progress, command.progress.total, command.progress.message) == (60, 60, "step 60")
    events = await events_of(client, session_id)
    assert_gapless(events)
    shown = [event for event in events if event.type == "command.progress"]
    seconds = command.finished_at.ToDatetime() - command.started_at.ToDatetime()
    assert 1 <= len(shown) <= 10 * seconds.total_seconds() + 2
    numbers = [orjson.loads(event.payload_json)["progress"] for event in shown]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 60
    outputs = [orjson.loads(event.payload_json)["line"] for event in events if event.type == "command.output"]
    assert outputs == list(range(60))
    assert types_of(events)[-1] == "command.completed"


async def test_command_of_another_tenant_is_not_found(suite: Suite, client: Stubs) -> None:
    await start(client)
    accepted = await submit(client)
    stranger = suite.client(suite.new_key(tenant="globex"))
    with rejected("COMMAND_NOT_FOUND"):
        await get_command(stranger, accepted.command_id)
    with rejected("COMMAND_NOT_FOUND"):
        await stranger.commands.CancelCommand(CancelCommandRequest(command_id=accepted.command_id))
    with rejected("COMMAND_NOT_FOUND"):
        await get_command(client, "no-uuid")
    assert list((await stranger.commands.ListCommands(ListCommandsRequest())).commands) == []


async def test_commands_are_listed_newest_first_in_pages_by_every_filter(client: Stubs) -> None:
    await start(client)
    made = [await submit(client, "echo" if number % 2 else "big") for number in range(7)]
    newest = [accepted.command_id for accepted in reversed(made)]

    async def listed(**fields: Any) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = await client.commands.ListCommands(ListCommandsRequest(page_size=3, page_token=token, **fields))
            found += [command.command_id for command in page.commands]
            if not (token := page.next_page_token):
                return found

    assert await listed() == newest
    assert await listed(type="echo") == newest[1::2]
    assert await listed(correlation_id=made[2].correlation_id) == [made[2].command_id]
    assert await listed(session_id=made[0].session_id, agent_id="clock") == newest
    assert await listed(states=[RUNNING]) == []
    assert await listed(states=[commands_pb2.COMMAND_STATE_QUEUED]) == newest
