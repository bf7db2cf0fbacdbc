"""An accepted command reaches exactly one outcome, whichever runner dies or leaves (C8; concurrency, rule 7)."""

import asyncio
from uuid import UUID

import orjson
import pytest

from libs.errors import Reason, ServiceError
from libs.rpc.stubs import Stubs
from services.runner.leases.store import PostgresLeases
from tests.support.client_calls import QUICK, RUNNING, SUCCEEDED, ended, in_state, start, submit, submit_many
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import events_of, outcomes_of, types_of
from tests.support.suite import Suite


async def test_commands_of_a_dead_runner_run_on_another(suite: Suite, client: Stubs) -> None:
    first, second = ScriptedExecutor(), ScriptedExecutor()
    doomed = await suite.runner(first)
    session = await start(client)
    running = [await submit(client, "hang", backoff=QUICK, max_backoff=QUICK) for _ in range(5)]
    for one in running:
        await in_state(client, one.command_id, RUNNING)
    second.gate.set()
    await suite.runner(second)
    await doomed.kill()
    waiting = await submit(client)
    for one in [*running, waiting]:
        command = await ended(client, one.command_id, 30)
        assert command.state == SUCCEEDED
        assert command.attempt == (1 if one is waiting else 2)
    assert {command_id for command_id, _ in second.began} == {one.command_id for one in [*running, waiting]}
    events = await events_of(client, session.session_id)
    assert types_of(events).count("agent.connected") == 2
    retrying = [orjson.loads(event.payload_json) for event in events if event.type == "command.retrying"]
    assert [(one["error"]["code"], one["charged"]) for one in retrying] == [("LEASE_EXPIRED", True)] * 5
    assert set((await outcomes_of(client, session.session_id)).values()) == {1}


async def test_runner_that_shuts_down_releases_its_commands_uncharged(suite: Suite, client: Stubs) -> None:
    first, second = ScriptedExecutor(), ScriptedExecutor()
    leaving = await suite.runner(first, drain=0.2)
    session = await start(client)
    accepted = await submit(client, "hang")
    await in_state(client, accepted.command_id, RUNNING)
    second.gate.set()
    await suite.runner(second)
    await leaving.stop()
    assert first.closed == first.opened == 1
    command = await ended(client, accepted.command_id, 20)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 2, 1)
    assert (await outcomes_of(client, session.session_id)).total() == 1


async def test_commands_submitted_before_the_first_runner_run_when_it_starts(suite: Suite, client: Stubs) -> None:
    await start(client)
    ids = await submit_many(client, 30)
    await suite.runner(ScriptedExecutor())
    for command_id in ids:
        assert (await ended(client, command_id)).state == SUCCEEDED


async def test_connection_stuck_in_connecting_is_opened_again(suite: Suite, client: Stubs) -> None:
    """Its runner is alive, but the reply that assigned the session to it was lost."""
    await suite.runner(ScriptedExecutor())
    await suite.rows(
        "create function command.lose() returns trigger language plpgsql as $$ begin"
        " new.state := 'connecting'; new.runner_id := (select r.runner_id from command.runners r); return new; end $$"
    )
    await suite.rows(
        "create trigger lose before insert on command.connections for each row execute function command.lose()"
    )
    await start(client)
    assert (await suite.rows("select state from command.connections")) == [("connecting",)]
    assert (await ended(client, (await submit(client)).command_id, 20)).state == SUCCEEDED


async def test_runner_without_a_lease_claims_nothing_while_it_closes_its_agents(
    suite: Suite, client: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database does not know yet: it would still dispatch to this runner and grant its claims."""
    executor = ScriptedExecutor()
    executor.closes.clear()
    await suite.runner(executor)
    await start(client)
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED

    async def lost(_: PostgresLeases, __: UUID, ___: float) -> bool:
        raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(PostgresLeases, "heartbeat", lost)
        await suite.rows("update command.runners set lease_until = now() + interval '1 hour'")
        await eventually(lambda: executor.closed)
    accepted = await submit(client)

    async def is_dispatched() -> bool:
        return bool(await suite.rows("select 1 from command.ready where published_seq is not null"))

    await eventually(is_dispatched)
    executor.closes.set()
    await suite.rows("update command.runners set lease_until = now()")
    command = await ended(client, accepted.command_id, 30)
    assert (command.state, command.attempt, executor.opened) == (SUCCEEDED, 1, 2)


async def test_runner_with_a_blocked_heartbeat_stops_its_commands_at_lease_expiry(
    suite: Suite, client: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer of its own notices, whatever the runner waits for."""
    executor = ScriptedExecutor()
    await suite.runner(executor)
    await start(client)
    accepted = await submit(client, "hang", backoff=QUICK, max_backoff=QUICK)
    await in_state(client, accepted.command_id, RUNNING)

    async def unanswered(_: PostgresLeases, __: UUID, ___: float) -> bool:
        await asyncio.Event().wait()
        return True

    with monkeypatch.context() as patched:
        patched.setattr(PostgresLeases, "heartbeat", unanswered)
        await eventually(lambda: executor.closed and not executor.running)
    executor.gate.set()
    assert (await ended(client, accepted.command_id, 30)).state == SUCCEEDED
