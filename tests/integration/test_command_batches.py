"""Items that meet in one batch: equal keys are one item, and a bad one fails alone (concurrency, rule 8)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from libs.calls import Actor
from libs.calls import Actor as CommandActor
from libs.db import Database
from libs.errors import ServiceError
from libs.idempotency import IdempotencyKey
from libs.ids import partition_of
from services.command.commands.model import Cancel, NewCommand
from services.command.commands.store import PostgresCommands
from services.command.dispatch.model import Dispatch
from services.session.agents.model import NewAgent
from services.session.agents.store import PostgresAgents
from services.session.events.model import NewEvent
from services.session.events.store import PostgresEvents
from services.session.sessions.model import SessionSpec
from services.session.sessions.store import PostgresSessions
from tests.support.new_commands import a_new_command

ACTOR = Actor("acme", "key:k", "127.0.0.1")
BY = CommandActor("acme", "key:k", "127.0.0.1")


class Silent:
    """Notifier that nobody hears."""

    def __init__(self) -> None:
        self.enqueued: list[Dispatch] = []

    def appended(self, tenant_id: str, partition: int, first: int, last: int, lines: str | None) -> None: ...
    def connections_wanted(self) -> None: ...
    def commands_waiting(self) -> None: ...
    def sessions_closing(self) -> None: ...
    def runner_has_work(self, runner_id: UUID) -> None: ...
    def enqueue(self, dispatches: Sequence[Dispatch]) -> None:
        self.enqueued += dispatches


@dataclass
class Stores:
    url: str
    sessions: PostgresSessions
    events: PostgresEvents
    commands: PostgresCommands
    command_database: Database

    async def value(self, query: str) -> Any:
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            row = await (await connection.execute(query.encode())).fetchone()
            return row[0] if row else None

    async def start(self, agent_id: str, key: str = "", body: str = "") -> Any:
        known = IdempotencyKey("start", key, body.encode() or b"h") if key else None
        return await self.sessions.start(ACTOR, agent_id, SessionSpec(), fail_on_conflict=False, key=known)


@pytest.fixture
async def stores(database_url: str, app_database_url: str) -> AsyncIterator[Stores]:
    session = Database.of(app_database_url, role="callboard_session", name="s", size=4)
    command = Database.of(app_database_url, role="callboard_command", name="c", size=4)
    await session.open()
    await command.open()
    silent = Silent()
    made = Stores(
        database_url, PostgresSessions(session, silent), PostgresEvents(session, silent),
        PostgresCommands(command, silent, silent), command,
    )  # fmt: skip
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("select session.ensure_tenant('acme')")
    for agent_id, exclusive in (("clock", True), ("many", False), ("idle", True)):
        agent = NewAgent(agent_id, "", "echo", "", exclusive, {})
        await PostgresAgents(session).create("acme", agent, None)
    yield made
    await session.close()
    await command.close()


def new_command(agent_id: str = "clock", *, key: str = "", body: str = "", **fields: Any) -> NewCommand:
    return a_new_command(agent_id, key=key, hash=body.encode() or b"h", **fields)


async def submit_all(stores: Stores, *commands: NewCommand) -> list[Any]:
    """One batch: all of them arrive in one turn of the loop."""
    return await asyncio.gather(
        *(stores.commands.submit(BY, "submit", command) for command in commands), return_exceptions=True
    )


async def test_starts_with_one_key_in_one_batch_get_one_answer(stores: Stores) -> None:
    answers = await asyncio.gather(*(stores.start("many", "key") for _ in range(5)), stores.start("many"))
    assert [answer.code for answer in answers] == ["created"] * 6
    assert len({answer.session.session_uid for answer in answers}) == 2


async def test_different_starts_with_one_key_in_one_batch_are_rejected(stores: Stores) -> None:
    answers = await asyncio.gather(
        stores.start("many", "key", "a"), stores.start("many", "key", "b"), stores.start("many", "key", "a"),
    )  # fmt: skip
    assert [answer.code for answer in answers] == ["created", "reused", "created"]
    assert answers[0].session == answers[2].session


async def test_rejected_starts_with_one_key_in_one_batch_store_no_key(stores: Stores) -> None:
    answers = await asyncio.gather(*(stores.start("nobody", "key") for _ in range(3)))
    assert [answer.code for answer in answers] == ["agent_not_found"] * 3
    assert await stores.value("select count(*) from idempotency.keys") == 0


async def test_appends_with_one_key_in_one_batch_are_stored_once(stores: Stores) -> None:
    session = (await stores.start("clock")).session
    event = NewEvent("iteration", 1, None, "", "{}")

    async def append(key: str | None, body: bytes = b"h") -> Any:
        known = IdempotencyKey("append", key, body) if key else None
        return await stores.events.append(ACTOR, session.partition, session.session_id, [event, event], known)

    answers = await asyncio.gather(append("k"), append(None), append("k"), append("k", b"other"), append("l"))
    assert [(a.code, a.first_seq, a.last_seq) for a in answers] == [
        ("ok", 2, 3), ("ok", 4, 5), ("ok", 2, 3), ("reused", 0, 0), ("ok", 6, 7),
    ]  # fmt: skip
    assert await stores.value("select last_seq from session.heads") == 7


async def test_append_to_an_unknown_session_fails_alone(stores: Stores) -> None:
    session = (await stores.start("clock")).session
    event = NewEvent("iteration", 1, None, "", "{}")
    answers = await asyncio.gather(
        *(stores.events.append(ACTOR, session.partition, id_, [event], None) for id_ in (session.session_id, "none"))
    )
    assert [answer.code for answer in answers] == ["ok", "session_not_found"]


async def test_submits_with_one_key_in_one_batch_make_one_command(stores: Stores) -> None:
    await stores.start("clock")
    answers = await submit_all(stores, *(new_command(key="k") for _ in range(4)), new_command())
    assert [answer.code for answer in answers] == ["ok"] * 5
    assert len({answer.command_id for answer in answers}) == 2
    again = await submit_all(stores, new_command(key="k"), new_command(key="k"))
    assert [answer.code for answer in again] == ["replay"] * 2
    assert {answer.command_id for answer in again} == {answers[0].command_id}
    assert {answer.enqueued_at for answer in again} == {answers[0].enqueued_at}


async def test_different_submits_with_one_key_in_one_batch_fail_alone(
    stores: Stores,
) -> None:
    await stores.start("clock")
    answers = await submit_all(
        stores, new_command(), new_command(key="k", body="a"), new_command(key="k", body="b"),
        new_command(key="k", body="a"), new_command(key="l"),
    )  # fmt: skip
    assert [getattr(answer, "code", answer) for answer in answers] == ["ok", "ok", "reused", "ok", "ok"]
    assert answers[1].command_id == answers[3].command_id
    assert await stores.value("select count(*) from command.commands") == 3


async def test_bad_submit_fails_alone_with_its_code(stores: Stores) -> None:
    await stores.start("clock")
    partition = partition_of("clock")
    strangers = [f"x{n}" for n in range(400) if partition_of(f"x{n}") == partition][:2]
    answers = await submit_all(
        stores, new_command(), new_command(strangers[0], key="k"), new_command(), new_command(strangers[1]),
    )  # fmt: skip
    assert [answer.code for answer in answers] == ["ok", "agent_not_found", "ok", "agent_not_found"]
    assert await stores.value("select count(*) from idempotency.keys") == 0


async def test_data_that_the_database_rejects_fails_alone(stores: Stores) -> None:
    await stores.start("clock")
    answers = await submit_all(
        stores, *(new_command() for _ in range(5)), new_command(max_attempts=99_999),
        new_command(correlation_id="a\x00"), *(new_command() for _ in range(5)),
    )  # fmt: skip
    assert Counter(type(answer).__name__ for answer in answers)["Submitted"] == 10
    assert isinstance(answers[5], psycopg.DataError)
    assert isinstance(answers[6], psycopg.DataError)


async def test_commands_of_one_ordering_key_start_in_the_order_of_their_batch(stores: Stores) -> None:
    await stores.start("clock")
    answers = await submit_all(stores, *(new_command(ordering_key="o") for _ in range(30)))
    wanted = [answer.command_id for answer in answers]
    order = []
    for _ in range(30):
        open_one = await stores.value("select command_id from command.ready where not blocked")
        order.append(open_one)
        (cancelled,) = await stores.commands.cancel(BY, [open_one], Cancel())
        assert cancelled.code == "cancelled"
    assert order == wanted


async def test_lock_timeout_rejects_the_batch_as_busy(stores: Stores) -> None:
    await stores.start("clock")
    async with await psycopg.AsyncConnection.connect(stores.url) as holder:
        await holder.execute("select session.lock_log('acme', %s::smallint)", (partition_of("clock"),))
        (unknown,) = await stores.commands.cancel(BY, [uuid4()], Cancel())
        assert unknown.code == "gone"
        with pytest.raises(ServiceError) as caught:
            await stores.sessions.advance_stop("acme", partition_of("clock"), uuid4(), force=False)
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
        slow = asyncio.create_task(submit_all(stores, new_command()))
        done, _ = await asyncio.wait({slow}, timeout=1.5)  # longer than the lock's own time limit
        assert not done
    assert [answer.code for answer in await slow] == ["ok"]
