"""Postgres and NATS are killed while the suite works."""

import asyncio
import contextlib
import itertools
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from callboard import CallboardError
from callboard.commands.v1.commands_pb2 import COMMAND_STATE_SUCCEEDED
from callboard.health.v1.health_pb2 import READINESS_DEGRADED, READINESS_NOT_READY, READINESS_READY
from libs.rpc.stubs import Stubs
from tests.e2e.steps import connected_session, settled_events, stop, until_idle
from tests.support.client_calls import get_command, start, submit
from tests.support.eventually import eventually
from tests.support.processes import Suite
from tests.support.readiness import wait_for_readiness
from tests.support.stored_events import types_of
from tests.support.streamed_events import Collector

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def _readyz(suite: Suite) -> tuple[int, str]:
    answer = await suite.http().get("/readyz")
    return answer.status_code, answer.json()["status"]


async def _readyz_becomes(suite: Suite, code: int, status: str) -> None:
    async def is_so() -> bool:
        found = await _readyz(suite)
        assert found == (code, status)
        return True

    await eventually(is_so, 15)


@contextlib.asynccontextmanager
async def _in_the_background(count: int, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Repeats `work` in `count` tasks while the block runs, and then waits for each to finish."""
    is_over = False

    async def repeat() -> None:
        while not is_over:
            await work()

    tasks = [asyncio.create_task(repeat()) for _ in range(count)]
    try:
        yield
    finally:
        is_over = True
        await asyncio.gather(*tasks)


async def _all_succeeded(suite: Suite, client: Stubs, session_id: str, accepted: set[str]) -> None:
    await until_idle(suite, session_id)
    rows = await suite.rows("select command_id::text, state from command.commands where session_id = %s", session_id)
    assert accepted <= {command_id for command_id, _ in rows}
    assert {state for _, state in rows} == {"succeeded"}
    events = await settled_events(suite, client, session_id)
    assert types_of(events).count("command.completed") == len(rows)


async def test_no_accepted_command_is_lost_with_the_broker_and_its_store(suite: Suite) -> None:
    """Submits are accepted while the broker is down. When it returns with an empty store, each command ends once.

    Meanwhile the services report degraded, and a subscriber misses nothing.
    """
    client, addresses = suite.client(), [suite.sessions[0].address, suite.commands[0].address]
    session = await connected_session(client, "broker")
    await _readyz_becomes(suite, 200, "ready")
    collector = Collector()
    following = asyncio.create_task(collector.receive(client, session_id=session.session_id, seconds=60))
    accepted: set[str] = set()

    async def submit_one() -> None:
        if len(accepted) >= 400:
            await asyncio.sleep(0.01)
            return
        accepted.add((await submit(client, "sleep", {"seconds": 0.05}, agent_id="broker")).command_id)

    async with _in_the_background(8, submit_one):
        await eventually(lambda: len(accepted) >= 100)
        await suite.nats.kill()
        shutil.rmtree(suite.nats_store)
        already = len(accepted)
        for address in addresses:
            await wait_for_readiness(address, READINESS_DEGRADED)
        await _readyz_becomes(suite, 200, "degraded")
        await eventually(lambda: len(accepted) >= already + 100)
        new = await start(client, "broker")
        assert new.session_id == session.session_id
        await suite.nats.start()
        for address in addresses:
            await wait_for_readiness(address, READINESS_READY)
        await _readyz_becomes(suite, 200, "ready")
    await _all_succeeded(suite, client, session.session_id, accepted)
    await stop(client, "broker")
    await following
    assert collector.ended
    assert collector.seqs == list(range(1, len(collector.events) + 1))


async def test_no_accepted_command_is_lost_when_the_database_crashes(suite: Suite) -> None:
    """The database crashes under load and recovers. Each accepted command ends once, each key makes one command.

    Meanwhile calls are rejected as unavailable and the suite reports not ready. Nothing needs a restart.
    """
    client = suite.client()
    session = await connected_session(client, "database")
    numbers, accepted, reasons = itertools.count(), dict[int, str](), set[str]()

    async def submit_with_a_key() -> None:
        number = next(numbers)
        while True:
            try:
                command = await submit(client, agent_id="database", request_id=f"key-{number}")
            except CallboardError as error:
                reasons.add(error.reason)
                await asyncio.sleep(0.05)
            else:
                accepted[number] = command.command_id
                return

    async with _in_the_background(8, submit_with_a_key):
        await eventually(lambda: len(accepted) >= 100)
        await suite.postgres.kill(signal.SIGQUIT)
        for address in (suite.sessions[0].address, suite.commands[0].address):
            await wait_for_readiness(address, READINESS_NOT_READY)
        await _readyz_becomes(suite, 503, "notReady")
        await eventually(lambda: reasons, 30)  # calls wait for a while before they are rejected
        already = len(accepted)
        await suite.postgres.start()
        for address in (suite.sessions[0].address, suite.commands[0].address):
            await wait_for_readiness(address, READINESS_READY)
        await eventually(lambda: len(accepted) >= already + 100)
    assert {"DATABASE_UNAVAILABLE"} <= reasons <= {"DATABASE_UNAVAILABLE", "IDEMPOTENCY_KEY_IN_USE"}
    await _readyz_becomes(suite, 200, "ready")
    await _all_succeeded(suite, client, session.session_id, set(accepted.values()))
    (stored,) = await suite.rows("select count(*) from command.commands where session_id = %s", session.session_id)
    assert stored == (len(accepted),)
    assert (await get_command(client, accepted[0])).state == COMMAND_STATE_SUCCEEDED
    assert not [part.name for part in suite.parts if not part.is_running]
    await suite.until(
        "select array_agg(name order by name) = '{runner-1,runner-2}' from command.runners "
        "where dead_at is null and lease_until > clock_timestamp()"
    )
