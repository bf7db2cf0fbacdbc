"""What a call reads does not grow with what its tenant has: plans are made while the tables are empty and kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from libs.attempts import Finish, Outcome, Report
from libs.calls import Actor
from libs.calls import Actor as CommandActor
from libs.db import Database
from libs.idempotency import IdempotencyKey
from libs.ids import partition_of
from services.command.commands.model import Cancel
from services.command.commands.store import PostgresCommands
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import Published
from services.command.dispatch.store import PostgresDelivery
from services.runner.attempts.store import PostgresAttempts
from services.runner.connections.store import PostgresConnections
from services.runner.leases.store import PostgresLeases
from services.session.agents.model import NewAgent
from services.session.agents.store import PostgresAgents
from services.session.events.model import NewEvent
from services.session.events.store import PostgresEvents
from services.session.sessions.model import SessionSpec
from services.session.sessions.store import PostgresSessions
from tests.integration.test_command_batches import Silent
from tests.support.new_commands import a_new_command

TENANT = "acme"
BY = CommandActor(TENANT, "key:k", "127.0.0.1")
ACTOR = Actor(TENANT, "key:k", "127.0.0.1")
PARTITION = partition_of("clock")
MOST = 60  # rows read by one call that stores two commands, or two events
_READ = """
    select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) from pg_stat_user_tables
    where schemaname in ('session', 'command', 'idempotency')
"""


class Services:
    """Both services' stores, on one connection each: the plans made first are those used last."""

    def __init__(self, session: Database, command: Database, admin: psycopg.AsyncConnection) -> None:
        silent = Silent()
        self.databases = (session, command)
        self.admin = admin
        self.agents = PostgresAgents(session)
        self.sessions = PostgresSessions(session, silent)
        self.events = PostgresEvents(session, silent)
        self.commands = PostgresCommands(command, silent, silent)
        self.leases = PostgresLeases(command)
        self.connections = PostgresConnections(command, silent)
        self.attempts = PostgresAttempts(command, silent)
        self.delivery = PostgresDelivery(command, silent, self.attempts)
        self.runner = uuid4()
        self.session_id = ""

    async def begin(self) -> None:
        """An agent with a session that a runner has connected, and one session and agent beside it."""
        await self.admin.execute("select session.ensure_tenant('acme')")
        await self.leases.register(self.runner, "r", 10, 600.0)
        await self.agents.create(TENANT, NewAgent("clock", "", "echo", "", True, {}), None)
        started = await self.sessions.start(ACTOR, "clock", SessionSpec(), fail_on_conflict=False, key=None)
        assert started.session is not None
        self.session_id = started.session.session_id
        (wanted,) = await self.connections.wanted(self.runner, 10)
        assert await self.connections.connected(TENANT, PARTITION, self.runner, wanted.session_uid, "{}")

    async def rows_read(self) -> int:
        for database in self.databases:
            await database.values("select pg_stat_force_next_flush()")
        row = await (await self.admin.execute(_READ.encode())).fetchone()
        return int(row[0]) if row else 0

    async def cost(self, call: Callable[[], Awaitable[Any]]) -> int:
        before = await self.rows_read()
        await call()
        return await self.rows_read() - before


@pytest.fixture
async def services(database_url: str, app_database_url: str) -> AsyncIterator[Services]:
    async with (
        opened(app_database_url, "session") as session,
        opened(app_database_url, "command") as command,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin,
    ):
        made = Services(session, command, admin)
        await made.begin()
        yield made


@asynccontextmanager
async def opened(url: str, service: str) -> AsyncIterator[Database]:
    database = Database.of(url, role=f"callboard_{service}", name=service, size=1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def life_of_two(services: Services, costs: dict[str, int]) -> None:
    """Two commands and two events from their submit to their end; `costs` gets the rows that each call read."""
    ids: list[UUID] = []
    tokens: list[UUID] = []
    actor = f"runner:{services.runner}"

    async def submit() -> None:
        keys = (uuid4().hex, uuid4().hex)
        done = await asyncio.gather(*(services.commands.submit(BY, "submit", a_new_command(key=key)) for key in keys))
        ids.extend(one.command_id for one in done)

    async def claim() -> None:
        claims = await asyncio.gather(
            *(services.attempts.claim(TENANT, PARTITION, services.runner, one) for one in ids)
        )
        tokens.extend(claim.lease_token for claim in claims if claim.lease_token)

    async def read() -> None:
        assert None not in await asyncio.gather(*(services.attempts.work(TENANT, one) for one in ids))

    async def report() -> None:
        pairs = zip(ids, tokens, strict=True)
        reports = [Report(one, token, "command.progress", "{}", actor, "{}") for one, token in pairs]
        assert all(await asyncio.gather(*(services.attempts.report(TENANT, PARTITION, one) for one in reports)))

    async def finish() -> None:
        pairs = zip(ids, tokens, strict=True)
        ends = [Finish(one, token, Outcome.SUCCEEDED, actor, "{}", result="{}") for one, token in pairs]
        states = await asyncio.gather(*(services.attempts.finish(TENANT, PARTITION, end) for end in ends))
        assert states == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]

    async def mark() -> None:
        dispatches = [Dispatch(TENANT, PARTITION, 1, services.runner, one, 1) for one in ids]
        await services.delivery.mark([Published(one, 1, "e") for one in dispatches])

    async def append() -> None:
        events = [NewEvent("iteration", 1, None, "", "{}")] * 2
        key = IdempotencyKey("append", uuid4().hex, b"h")
        done = await services.events.append(ACTOR, PARTITION, services.session_id, events, key)
        assert done.code == "ok"

    for call in (submit, mark, read, claim, report, finish, append):
        costs[call.__name__] = await services.cost(call)
    costs["head"] = await services.cost(lambda: services.events.head(TENANT, services.session_id))
    costs["get"] = await services.cost(lambda: services.sessions.get(TENANT, services.session_id))
    costs["cancel"] = await services.cost(lambda: services.commands.cancel(BY, ids, Cancel()))


async def grow(services: Services) -> None:
    """Hundreds of commands that wait, as many keys, and agents with sessions, for the same tenant."""
    await asyncio.gather(*(services.commands.submit(BY, "submit", a_new_command(key=uuid4().hex)) for _ in range(400)))
    for number in range(40):
        await services.agents.create(TENANT, NewAgent(f"a{number}", "", "echo", "", True, {}), None)
    starts = (
        services.sessions.start(ACTOR, f"a{number}", SessionSpec(), fail_on_conflict=False, key=None)
        for number in range(40)
    )
    await asyncio.gather(*starts)


async def test_calls_read_no_more_rows_after_a_tenant_has_grown(services: Services) -> None:
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for _ in range(8):  # statements are prepared at their sixth run
        await life_of_two(services, before)
    await grow(services)
    await life_of_two(services, after)
    assert {name: rows for name, rows in after.items() if rows > MOST} == {}
    assert min(before["submit"], before["claim"], before["finish"], before["append"]) > 0  # reads are seen at all
