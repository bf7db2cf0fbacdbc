"""A submit whose session moved or whose reply was lost, with a database that answers as the test says."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from libs.attempts.store import Finishes
from libs.calls import Actor
from libs.db import Database
from libs.errors import Reason, ServiceError
from libs.notifications import Notifier
from services.command.commands import store as module
from services.command.commands.model import NewCommand, SubmitCode
from services.command.commands.store import PostgresCommands
from services.command.dispatch import store as delivery
from services.command.dispatch.model import Dispatch
from services.command.dispatch.store import PostgresDelivery
from tests.support.new_commands import a_new_command

ACTOR = Actor("acme", "key:1", "127.0.0.1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNNER = uuid4()


class ScriptedDatabase:
    """Takes each answer to a statement from a script, an error to raise among them, and records the parameters."""

    def __init__(self, statements: Any, **answers: list[Any]) -> None:
        self._names = {id(statements[name]): name for name in statements}
        self._answers = answers
        self.calls: Counter[str] = Counter()
        self.parameters: list[Any] = []

    async def values(self, statement: Any, parameters: Any = None) -> list[Any]:
        return self._answer(statement, parameters)

    async def records(self, record: type, statement: Any, parameters: Any = None) -> list[Any]:
        return [record(**row) for row in self._answer(statement, parameters)]

    def _answer(self, statement: Any, parameters: Any) -> list[Any]:
        name = self._names[id(statement)]
        self.calls[name] += 1
        self.parameters.append(parameters)
        answer = self._answers[name].pop(0)
        if isinstance(answer, Exception):
            raise answer
        rows: list[Any] = answer
        return rows


class Queue:
    """Records the dispatches."""

    def __init__(self) -> None:
        self.dispatched: list[UUID] = []

    def enqueue(self, dispatches: Sequence[Dispatch]) -> None:
        self.dispatched += [one.command_id for one in dispatches]


class Notifications:
    """Counts the announced appends."""

    appends = 0

    def appended(self, *_: Any) -> None:
        self.appends += 1


def submitted(code: SubmitCode = SubmitCode.OK) -> dict[str, Any]:
    is_ok = code is SubmitCode.OK
    return {
        "ord": 1, "code": code, "command_id": uuid4(), "correlation_id": "c", "agent_id": "clock",
        "session_id": "ses-1", "enqueued_at": NOW, "runner_id": RUNNER if is_ok else None, "state": None,
        "first_position": 1 if is_ok else None, "last_position": 1 if is_ok else None, "notification": None,
    }  # fmt: skip


def scripted(**answers: list[Any]) -> tuple[PostgresCommands, ScriptedDatabase, Queue]:
    database, queue = ScriptedDatabase(module._SQL, **answers), Queue()
    commands = PostgresCommands(cast(Database, database), cast(Notifier, Notifications()), queue)
    return commands, database, queue


def for_session(session_id: str = "ses-1") -> NewCommand:
    return a_new_command("", session_id=session_id)


LOST = ServiceError(Reason.DATABASE_UNAVAILABLE, "the reply was lost")


async def test_submit_follows_a_session_that_was_replaced_in_another_partition() -> None:
    commands, database, queue = scripted(
        partition_of_session=[[3], [7]], submit=[[submitted(SubmitCode.MOVED)], [submitted()]]
    )
    done = await commands.submit(ACTOR, "submit", for_session())
    assert done.code is SubmitCode.OK
    assert [parameters[1] for parameters in database.parameters if len(parameters) > 2] == [3, 7]
    assert queue.dispatched == [done.command_id]


async def test_submit_is_rejected_if_its_session_is_gone_when_it_looks_again() -> None:
    commands, _, queue = scripted(partition_of_session=[[3], []], submit=[[submitted(SubmitCode.MOVED)]])
    assert (await commands.submit(ACTOR, "submit", for_session())).code is SubmitCode.SESSION_NOT_FOUND
    assert queue.dispatched == []


async def test_submit_whose_reply_was_lost_is_repeated_if_nothing_was_stored() -> None:
    commands, database, queue = scripted(submit=[LOST, [submitted()]], stored=[[]])
    done = await commands.submit(ACTOR, "submit", a_new_command())
    assert queue.dispatched == [done.command_id]
    assert database.calls == {"submit": 2, "stored": 1}


async def test_submit_whose_reply_was_lost_is_not_repeated_if_it_was_stored() -> None:
    commands, database, queue = scripted(submit=[LOST], stored=[[uuid4()]])
    with pytest.raises(ServiceError, match="outcome is unknown"):
        await commands.submit(ACTOR, "submit", a_new_command())
    assert (database.calls["submit"], queue.dispatched) == (1, [])


async def test_partitions_of_sessions_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PARTITIONS_KEPT", 2)
    commands, database, _ = scripted(
        partition_of_session=[[1], [2], [3], [1]], submit=[[submitted()] for _ in range(6)]
    )
    for session_id in ("a", "b", "a", "b"):
        await commands.submit(ACTOR, "submit", for_session(session_id))
    assert database.calls["partition_of_session"] == 2
    for session_id in ("c", "a"):
        await commands.submit(ACTOR, "submit", for_session(session_id))
    assert database.calls["partition_of_session"] == 4


async def test_lost_dispatch_of_claimed_commands_charges_and_announces_nothing() -> None:
    command_id = uuid4()
    claimed = {"tenant_id": "acme", "partition": 1, "command_ids": [uuid4()]}
    queued = {"tenant_id": "acme", "partition": 2, "command_ids": [command_id]}
    row = {
        "command_id": command_id, "state": "released",
        "first_position": 1, "last_position": 1, "notification": None,
    }  # fmt: skip
    database = ScriptedDatabase(
        delivery._SQL,
        partitions=[[claimed, queued]],
        dispatch_lost=[[], [row]],
    )
    notifications = Notifications()
    store = PostgresDelivery(cast(Database, database), cast(Notifier, notifications), cast(Finishes, None))
    assert await store.dispatch_lost("acme", [uuid4(), uuid4()], "{}", "dispatcher") == 1
    assert notifications.appends == 1
