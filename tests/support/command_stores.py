"""The real stores of commands on the test's own database, for tests that are not coroutines."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, LiteralString, Self, TypeVar, cast
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from libs.attempts import (
    Failure,
    FailureCode,
    Finish,
    RetryPolicy,
    cancelled,
    decide,
    ended_by,
    succeeded,
)
from libs.calls import Actor
from libs.calls import Actor as SessionActor
from libs.db import Database
from libs.ids import partition_of
from services.command.commands.model import NewCommand
from services.command.commands.store import PostgresCommands
from services.command.dead_letters.service import DeadLetters
from services.command.dead_letters.store import PostgresDeadLetters
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import Broker
from services.command.dispatch.reconciler import Reconciler
from services.command.dispatch.store import PostgresDelivery
from services.runner.attempts.model import Claim
from services.runner.attempts.store import PostgresAttempts
from services.runner.connections.store import PostgresConnections
from services.runner.leases.store import PostgresLeases
from services.session.agents.model import NewAgent
from services.session.agents.store import PostgresAgents
from services.session.sessions.model import SessionSpec
from services.session.sessions.store import PostgresSessions
from tests.support.command_model import ModelSession, SubmitRequest
from tests.support.new_commands import a_new_command
from tests.support.transition_guard import guard_transitions

AGENTS = ("desk", "lamp")
PARTITION = partition_of("desk")
"""The partition of both agents, so that concurrent work for them is one batch."""
_FAR = 2**31 - 1  # milliseconds, 24 days: no wait drawn from so much ends during a test
_HOUR_MS = 3_600_000
_LATER = datetime(2100, 1, 1, tzinfo=UTC)
_Answer = TypeVar("_Answer")
Row = dict[str, Any]


class _Silent:
    """A notifier and a dispatcher that do nothing."""

    def appended(self, tenant_id: str, partition: int, first: int, last: int, lines: str | None) -> None: ...
    def connections_wanted(self) -> None: ...
    def commands_waiting(self) -> None: ...
    def sessions_closing(self) -> None: ...
    def runner_has_work(self, runner_id: UUID) -> None: ...
    def enqueue(self, dispatches: Sequence[Dispatch]) -> None: ...


@dataclass(frozen=True)
class Stored:
    """All stored rows of a tenant's commands."""

    commands: dict[UUID, Row]
    ready: dict[UUID, Row]
    attempts: dict[UUID, list[Row]]
    dead_letters: dict[UUID, Row]
    connections: dict[UUID, Row]
    events: list[Row]


class CommandStores:
    """The stores as the services compose them, with an event loop and without other users."""

    def __init__(self, admin_url: str, app_url: str) -> None:
        self.tenant = ""
        self.actor = Actor("", "key:k", "127.0.0.1")
        self._loop = asyncio.Runner()
        self._admin_url = admin_url
        self._admin = psycopg.connect(admin_url, autocommit=True, row_factory=dict_row)
        self._admin.adapters.register_loader("timestamptz", TextLoader)  # some are due at infinity
        self._databases = [
            Database.of(app_url, role=f"callboard_{name}", name=name, size=4) for name in ("session", "command")
        ]
        silent = _Silent()
        session, command = self._databases
        self._agents = PostgresAgents(session)
        self._sessions = PostgresSessions(session, silent)
        self.leases = PostgresLeases(command)
        self.connections = PostgresConnections(command, silent)
        self.attempts = PostgresAttempts(command, silent)
        self.commands = PostgresCommands(command, silent, silent)
        self.delivery = PostgresDelivery(command, silent, self.attempts)
        self.dead_letters = DeadLetters(PostgresDeadLetters(command), self.commands)
        # With a lease of length 0, the first pass marks a runner with an expired lease dead. No pass of the broker.
        self._reconciler = Reconciler(self.delivery, cast(Broker, None), silent, lease=0.0)

    def __enter__(self) -> Self:
        guard_transitions(self._admin_url)
        for database in self._databases:
            self.run(database.open())
        return self

    def __exit__(self, *_: object) -> None:
        for database in self._databases:
            self.run(database.close())
        self._loop.close()
        self._admin.close()

    def run(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Runs a coroutine and returns its result."""
        return self._loop.run(work)

    def at_once(self, *work: Coroutine[Any, Any, Any]) -> list[Any]:
        """Runs coroutines concurrently, in one batch where the stores make batches. Errors are among the results."""

        async def together() -> list[Any]:
            return await asyncio.gather(*work, return_exceptions=True)

        return self.run(together())

    def begin(self) -> list[ModelSession]:
        """Creates a tenant with a session of each agent."""
        self.tenant = f"t-{uuid4().hex}"
        self.actor = Actor(self.tenant, "key:k", "127.0.0.1")
        self.execute("select session.ensure_tenant(%(tenant)s)")
        return [self.run(self._start(agent_id)) for agent_id in AGENTS]

    async def _start(self, agent_id: str) -> ModelSession:
        await self._agents.create(self.tenant, NewAgent(agent_id, "", "echo", "", True, {}), None)
        by = SessionActor(self.tenant, "key:k", "127.0.0.1")
        started = await self._sessions.start(by, agent_id, SessionSpec(), fail_on_conflict=True, key=None)
        assert started.session is not None
        return ModelSession(agent_id, started.session.session_id, started.session.session_uid)

    def end(self) -> None:
        """Removes the rows that the next tenant's reconciler would find."""
        for table in ("runners", "connections", "ready", "commands"):
            self.execute(sql.SQL("delete from {}").format(sql.Identifier("command", table)))

    def execute(self, statement: LiteralString | sql.Composed, **values: Any) -> list[Row]:
        """Runs a statement as the database's owner; `tenant` is among its values."""
        cursor = self._admin.execute(statement, {"tenant": self.tenant, **values})
        return cursor.fetchall() if cursor.description else []

    def take(self, runner_id: UUID, session: ModelSession) -> bool:
        """Makes a runner take one session that wants a connection, and connect it."""
        self.execute(
            "update command.connections set connect_after = clock_timestamp()"
            " + case session_uid when %(uid)s then -1 else 3600 end * interval '1 s' where tenant_id = %(tenant)s",
            uid=session.uid,
        )

        async def connect() -> list[bool]:
            wanted = await self.connections.wanted(runner_id, 10)
            return [
                await self.connections.connected(self.tenant, PARTITION, runner_id, one.session_uid, "{}")
                for one in wanted
            ]

        return self.run(connect()) == [True]

    def reconcile(self) -> None:
        """Runs one pass of the reconciler over the database."""
        self.run(self._reconciler._database_pass())

    def stored(self) -> Stored:
        """Reads all rows of the tenant's commands."""

        def rows(table: str, *order: str) -> list[Row]:
            statement = sql.SQL("select * from {} where tenant_id = %(tenant)s order by {}")
            by = sql.SQL(", ").join(map(sql.Identifier, order or ("tenant_id",)))
            return self.execute(statement.format(sql.Identifier(*table.split(".")), by))

        attempts = defaultdict(list)
        for row in rows("command.attempts", "command_id", "attempt"):
            attempts[row["command_id"]].append(row)
        return Stored(
            {row["command_id"]: row for row in rows("command.commands", "enqueued_at", "command_id")},
            {row["command_id"]: row for row in rows("command.ready")},
            dict(attempts),
            {row["command_id"]: row for row in rows("command.dead_letters")},
            {row["session_uid"]: row for row in rows("command.connections")},
            rows("session.events", "partition", "position"),
        )


def new_command(asked: SubmitRequest, session_id: str = "") -> NewCommand:
    """A submit request as the store takes it, by the session's id if that is given."""
    return a_new_command(
        "" if session_id else asked.agent_id, session_id=session_id, type=asked.type, max_attempts=asked.max_attempts,
        timeout_ms=60_000, backoff_ms=_FAR, max_backoff_ms=_FAR, not_before=_LATER if asked.delayed else None,
        retry_tool_errors=True, ordering_key=asked.ordering_key, key=asked.key,
        hash=sha256(repr(asked).encode()).digest(),
    )  # fmt: skip


def finish_of(claim: Claim, how: str, max_attempts: int) -> Finish:
    """The end of an attempt as a runner writes it. A retry is due in an hour."""
    assert claim.lease_token is not None
    about = (claim.command_id, claim.lease_token, claim.attempt, "runner:r")
    if how == "succeeds":
        return succeeded(*about, b"{}", 0.0)
    if how == "is cancelled":
        return cancelled(*about)
    failure, released = {
        "fails": (Failure(FailureCode.TOOL_ERROR, "no", retryable=True), claim.released),
        "fails for good": (Failure(FailureCode.TOOL_NOT_FOUND, "no", retryable=False), claim.released),
        "is released": (Failure(FailureCode.RUNNER_SHUTDOWN, "no", True, charged=False), claim.released),
        "has not begun": (Failure(FailureCode.CONNECTION_LOST, "no", True, charged=False), 0),
    }[how]
    policy = RetryPolicy(max_attempts, _FAR, _FAR)
    decision = decide(failure, policy, charged=claim.charged, released=released, draw=random.Random())
    finish = ended_by(failure, decision, *about)
    return replace(finish, delay_ms=_HOUR_MS, counted=how != "has not begun")
