"""What both public clients promise, tested with the real services."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from callboard import CallboardError, Client
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.public_clients import KINDS, public_client
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.suite import Suite

pytestmark = pytest.mark.usefixtures("runner")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def runner(suite: Suite) -> None:
    await suite.runner(ScriptedExecutor())


@pytest.fixture
async def relay(suite: Suite) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(suite.session_addresses[0], suite.command_addresses[0]) as relay:
        yield relay


@pytest.fixture
async def client(kind: str, suite: Suite, relay: FaultProxy) -> AsyncIterator[Client]:
    async with public_client(kind, suite.key, relay.address) as client:
        await client.agents.create("clock", connector={"kind": "echo"})
        yield client


async def test_command_is_submitted_followed_and_read_without_message_types(client: Client) -> None:
    started = await client.sessions.start("clock", title="Trial", context={"depth": [1, None, "é"]})
    assert started.created
    assert (started.spec.title, started.spec.context) == ("Trial", {"depth": [1, None, "é"]})
    accepted = await client.commands.submit(
        agent_id="clock", type="echo", params={"n": 1}, options={"timeout": 20, "priority": "high"}
    )
    async with aclosing(client.follow(session_id=started.session_id)) as events:
        seen = [event async for event in events if await _until_completed(client, event.type)]
    completed = next(event for event in seen if event.type == "command.completed")
    assert completed.command_id == accepted.command_id
    assert completed.payload["result"] == {"echo": {"n": 1}}
    command = await client.commands.get(accepted.command_id)
    assert (command.state, command.params, command.result) == ("succeeded", {"n": 1}, {"echo": {"n": 1}})
    assert (command.options.timeout, command.options.priority) == (timedelta(seconds=20), "high")
    assert command.error is None
    assert datetime.now(UTC) - timedelta(minutes=1) < command.enqueued_at < datetime.now(UTC)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].type == "session.stopped"


async def _until_completed(client: Client, type_: str) -> bool:
    """Stops the session when its command has ended, to end the stream."""
    if type_ == "command.completed":
        await client.sessions.stop(agent_id="clock")
    return True


async def test_agent_is_updated_field_by_field_and_deleted(client: Client) -> None:
    changed = await client.agents.update("clock", labels={"team": "night"})
    assert (changed.labels, changed.connector.kind, changed.display_name) == ({"team": "night"}, "echo", "")
    emptied = await client.agents.update("clock", labels={}, display_name="Clock", etag=changed.etag)
    assert (emptied.labels, emptied.display_name) == ({}, "Clock")
    with pytest.raises(CallboardError) as caught:
        await client.agents.delete("clock", etag=changed.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    await client.agents.delete("clock", etag=emptied.etag)
    assert [agent.agent_id async for agent in client.agents.list()] == []


async def test_update_without_fields_names_those_that_exist(client: Client) -> None:
    with pytest.raises(TypeError, match=r"^give at least one of display_name, connector, "):
        await client.agents.update("clock")


async def test_stop_without_a_live_session_returns_none(client: Client) -> None:
    assert await client.sessions.stop(agent_id="clock") is None


async def test_error_carries_reason_and_violations(client: Client) -> None:
    with pytest.raises(CallboardError) as caught:
        await client.sessions.get("nothing")
    error = caught.value
    assert (error.reason, error.code) == ("SESSION_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    assert error.metadata == {"session_id": "nothing"}
    with pytest.raises(CallboardError) as caught:
        await client.commands.submit(agent_id="clock", type="NOT A TYPE", options={"max_attempts": 99})
    assert caught.value.reason == "FIELD_INVALID"
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {"command.type", "command.options.max_attempts"}


async def test_value_of_a_wrong_type_is_rejected_before_anything_is_sent(client: Client, relay: FaultProxy) -> None:
    sent = len(relay.requests)
    with pytest.raises(ValueError, match=r"^on_conflict: must be one of return_existing, fail, restart; it is 'wait'$"):
        await client.sessions.start("clock", on_conflict="wait")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^command\.params: is not JSON"):
        await client.commands.submit(agent_id="clock", type="echo", params={"n": float("nan")})
    with pytest.raises(TypeError, match=r"^agent\.connector\.sever: no such field; there are kind, server$"):
        await client.agents.create("clock", connector={"kind": "mcp", "sever": "time"})  # type: ignore[arg-type]
    assert len(relay.requests) == sent


async def test_lists_continue_across_pages(client: Client) -> None:
    for number in range(7):
        await client.agents.create(f"agent-{number}", connector={"kind": "echo"})
    names = [f"agent-{number}" for number in range(7)] + ["clock"]
    pager = client.agents.list(page_size=3)
    assert [agent.agent_id async for agent in pager] == names
    assert [len(page.items) async for page in pager.pages()] == [3, 3, 2]
    first = await pager.page()
    rest = client.agents.list(page_size=3, page_token=first.next_page_token)
    assert [agent.agent_id async for agent in rest] == names[3:]


async def test_list_filters_by_words_and_times(client: Client) -> None:
    await client.sessions.start("clock", session_type="audit")
    since = datetime.now(UTC) - timedelta(minutes=1)
    found = client.sessions.list(states=["created", "active"], session_type="audit", created_after=since)
    assert [session.agent_id async for session in found] == ["clock"]
    assert [session async for session in client.sessions.list(states=["stopped"])] == []
    assert [session async for session in client.sessions.list(created_before=since)] == []


async def test_call_with_a_lost_reply_is_retried_and_takes_effect_once(client: Client, relay: FaultProxy) -> None:
    await client.sessions.start("clock")
    relay.requests.clear()
    relay.to_lose = 2
    accepted = await client.commands.submit(agent_id="clock", type="echo")
    assert len(relay.requests) == 3
    assert len(set(relay.requests)) == 1, "each attempt carries the same idempotency key"
    assert [command.command_id async for command in client.commands.list()] == [accepted.command_id]


async def test_each_command_of_a_bulk_submit_has_its_own_key(client: Client, relay: FaultProxy) -> None:
    await client.sessions.start("clock")
    relay.to_lose = 1
    answer = await client.commands.submit_many([{"agent_id": "clock", "type": "echo"}] * 3)
    accepted = {result.command.command_id for result in answer.results if result.command is not None}
    assert len(accepted) == 3
    assert {command.command_id async for command in client.commands.list()} == accepted


async def test_key_given_by_the_caller_is_used(client: Client) -> None:
    await client.sessions.start("clock")
    first = await client.commands.submit(agent_id="clock", type="echo", request_id="mine")
    assert await client.commands.submit(agent_id="clock", type="echo", request_id="mine") == first


async def test_timeout_ends_the_retries(client: Client, relay: FaultProxy) -> None:
    relay.to_lose = 1_000
    with pytest.raises(CallboardError) as caught:
        await client.agents.get("clock", timeout=0.5)
    assert caught.value.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert len(relay.requests) > 2


async def test_rejected_call_is_not_repeated(client: Client, relay: FaultProxy) -> None:
    relay.requests.clear()
    with pytest.raises(CallboardError):
        await client.agents.create("clock", connector={"kind": "echo"})
    assert len(relay.requests) == 1


async def test_follow_resumes_after_a_broken_stream(client: Client, relay: FaultProxy) -> None:
    session = await client.sessions.start("clock")
    await client.events.append(session.session_id, [{"type": "iteration", "payload": {"n": n}} for n in range(20)])
    await client.sessions.stop(session_id=session.session_id)
    relay.cut_after = 1
    seen = [event async for event in client.follow(session_id=session.session_id)]
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert [event.payload["n"] for event in seen if event.type == "iteration"] == list(range(20))
    assert relay.streams > 1
    after = [event.seq async for event in client.follow(session_id=session.session_id, cursor=seen[4].cursor)]
    assert after == [event.seq for event in seen[5:]]


async def test_dead_letter_is_found_and_requeued_with_other_params(client: Client) -> None:
    await client.sessions.start("clock")
    failed = await client.commands.submit(
        agent_id="clock", type="fail", params={"times": 1, "retryable": False}, options={"max_attempts": 1}
    )
    await eventually(lambda: _is_dead(client))
    (dead_letter,) = [one async for one in client.dead_letters.list(reasons=["TOOL_ERROR"])]
    assert (dead_letter.command.command_id, dead_letter.reason) == (failed.command_id, "TOOL_ERROR")
    whole = await client.dead_letters.get(failed.command_id)
    assert [(attempt.outcome, attempt.charged) for attempt in whole.attempts] == [("failed", True)]
    requeued = await client.dead_letters.requeue(failed.command_id, params={"times": 0}, options={"timeout": 5})
    command = await client.commands.get(requeued.command_id)
    assert (command.requeued_from, command.params) == (failed.command_id, {"times": 0})
    purged = await client.dead_letters.purge_many(filter={"requeued": "any"}, dry_run=True)
    assert (purged.purged, purged.matched) == (1, 1)
    await client.dead_letters.purge(failed.command_id)
    assert [one async for one in client.dead_letters.list()] == []


async def _is_dead(client: Client) -> bool:
    return bool((await client.dead_letters.list().page()).items)


async def test_options_of_a_response_can_be_passed_to_a_request(client: Client) -> None:
    await client.sessions.start("clock")
    first = await client.commands.submit(agent_id="clock", type="echo", options={"max_attempts": 7, "priority": "low"})
    options = (await client.commands.get(first.command_id)).options
    again = await client.commands.submit(agent_id="clock", type="echo", options=options)
    assert (await client.commands.get(again.command_id)).options == options
    assert dataclasses.asdict(options)["max_attempts"] == 7


async def test_services_report_principal_and_readiness(client: Client) -> None:
    assert (await client.identity.get_principal()).role == "admin"
    readiness = await client.session_readiness.get()
    assert (readiness.readiness, readiness.parts["database"]) == ("ready", "ready")
    assert (await client.command_readiness.get()).readiness == "ready"
