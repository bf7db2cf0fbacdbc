"""Cancels and requeues of many commands under a key: a repeated call continues with the commands of the first."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from libs.calls import Actor
from libs.db import Database
from libs.errors import Reason, ServiceError
from libs.idempotency import IdempotencyKey, KeyCode, KeyState, KeyStore, Taken
from services.command.commands.cancels import CancelledMany, Cancels
from services.command.commands.model import (
    DEFAULT_RUN_OPTIONS,
    Cancel,
    CancelCode,
    Cancelled,
    Command,
    NewCommand,
    OpenCommandFilter,
    SubmitCode,
    Submitted,
)
from services.command.commands.ports import CommandStore
from services.command.dead_letters.batches import DeadLetterBatches
from services.command.dead_letters.model import Changes, Selection
from services.command.dead_letters.ports import Commands, DeadLetterStore, RequeueTarget
from services.command.dead_letters.service import DeadLetters
from services.command.dead_letters.store import PostgresDeadLetters

ACTOR = Actor("acme", "key:1", "127.0.0.1")
KEY = IdempotencyKey("many", "k", b"h")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryKeys:
    """One key in memory."""

    def __init__(self) -> None:
        self.plan: str | None = None
        self.response: str | None = None

    async def take(self, *_: Any) -> Taken:
        return Taken(KeyCode.REPLAY if self.response else KeyCode.TAKEN, self.plan, self.response)

    async def keep_plan(self, tenant_id: str, key: IdempotencyKey, plan: str) -> str:
        self.plan = self.plan or plan
        return self.plan

    async def finish(self, tenant_id: str, key: IdempotencyKey, response: str) -> str:
        self.response = self.response or response
        return self.response

    async def release(self, tenant_id: str, key: IdempotencyKey, taken_as: KeyState = KeyState.RUNNING) -> None:
        """The plan stays."""


class MemoryCommands:
    """Open commands, and the dead letters of others. The first `failures` writes fail."""

    def __init__(self, failures: int = 0) -> None:
        self.open = [uuid4(), uuid4()]
        self.failures = failures
        self.cancelled: list[UUID] = []
        self.submitted: list[NewCommand] = []
        self.answer = SubmitCode.OK

    async def open_ids(self, tenant_id: str, wanted: OpenCommandFilter, limit: int) -> list[UUID]:
        return [one for one in self.open if one not in self.cancelled][:limit]

    async def cancel(self, actor: Actor, command_ids: Sequence[UUID], how: Cancel) -> list[Cancelled]:
        self._write()
        self.cancelled += command_ids
        return [Cancelled(CancelCode.CANCELLED, None) for _ in command_ids]

    async def submit(self, actor: Actor, method: str, command: NewCommand) -> Submitted:
        self._write()
        self.submitted.append(command)
        return Submitted(self.answer, uuid4(), "", "clock", "ses-1", NOW, "active")

    async def get(self, tenant_id: str, command_id: UUID) -> Command | None:
        return a_command(command_id)

    async def commands(self, tenant_id: str, ids: Sequence[UUID]) -> tuple[dict[UUID, Command], int]:
        """Two commands fit into memory together."""
        read = list(ids[:2])
        return {one: a_command(one) for one in read}, len(read)

    async def requeue_targets(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, RequeueTarget]:
        return {}

    def _write(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database does not answer")


def a_command(command_id: UUID) -> Command:
    values: dict[str, Any] = {field.name: None for field in fields(Command)}
    given = {"command_id": command_id, "agent_id": "clock", "type": "echo", "params": "{}", "correlation_id": "c"}
    return Command(**{**values, **DEFAULT_RUN_OPTIONS.run_options(), **given})


def cancels(commands: MemoryCommands, keys: MemoryKeys) -> Cancels:
    return Cancels(cast(CommandStore, commands), cast(KeyStore, keys))


def batches(commands: MemoryCommands, keys: MemoryKeys) -> DeadLetterBatches:
    return DeadLetterBatches(cast(DeadLetterStore, commands), cast(Commands, commands), cast(KeyStore, keys))


async def cancel_all(commands: MemoryCommands, keys: MemoryKeys) -> CancelledMany:
    return await cancels(commands, keys).many(ACTOR, OpenCommandFilter(), 10, Cancel(), KEY)


async def test_repeated_cancel_of_many_gets_the_first_answer() -> None:
    commands, keys = MemoryCommands(), MemoryKeys()
    first = await cancel_all(commands, keys)
    commands.open.append(uuid4())
    assert await cancel_all(commands, keys) == first == CancelledMany(2, 0, False)
    assert commands.cancelled == commands.open[:2]


async def test_cancel_of_many_that_failed_continues_with_the_commands_of_its_plan() -> None:
    commands, keys = MemoryCommands(failures=1), MemoryKeys()
    with pytest.raises(ServiceError):
        await cancel_all(commands, keys)
    commands.open.append(uuid4())
    assert await cancel_all(commands, keys) == CancelledMany(2, 0, False)
    assert commands.cancelled == commands.open[:2]


async def test_repeated_requeue_of_many_gets_the_first_answer() -> None:
    commands, keys = MemoryCommands(), MemoryKeys()
    wanted = Selection(ids=(str(uuid4()), "no id", str(uuid4()), str(uuid4())))
    first = await batches(commands, keys).requeue(ACTOR, wanted, Changes(), KEY)
    again = await batches(commands, keys).requeue(ACTOR, wanted, Changes(), KEY)
    assert len(commands.submitted) == 3
    assert [one.command for one in first.results] == [one.command for one in again.results]
    assert [one.error.reason if one.error else None for one in again.results] == [
        None, Reason.DEAD_LETTER_NOT_FOUND, None, None,
    ]  # fmt: skip


async def test_requeue_of_many_stores_no_answer_while_the_database_is_away() -> None:
    commands, keys = MemoryCommands(failures=1), MemoryKeys()
    wanted = Selection(ids=(str(uuid4()), str(uuid4())))
    with pytest.raises(ServiceError) as caught:
        await batches(commands, keys).requeue(ACTOR, wanted, Changes(), KEY)
    assert (caught.value.reason, keys.response) == (Reason.DATABASE_UNAVAILABLE, None)
    done = await batches(commands, keys).requeue(ACTOR, wanted, Changes(), KEY)
    assert [one.error for one in done.results] == [None, None]
    assert len({command.key for command in commands.submitted}) == 2, "each command has one key in both calls"


async def test_requeue_without_a_key_reports_what_the_database_rejected() -> None:
    commands = MemoryCommands(failures=1)
    wanted = Selection(ids=(str(uuid4()), str(uuid4())))
    done = await batches(commands, MemoryKeys()).requeue(ACTOR, wanted, Changes(), None)
    assert [one.error.reason if one.error else None for one in done.results] == [Reason.DATABASE_UNAVAILABLE, None]


async def test_second_requeue_of_a_dead_letter_that_was_purged_names_no_successor() -> None:
    commands, command_id = MemoryCommands(), uuid4()
    commands.answer = SubmitCode.REQUEUED
    dead_letters = DeadLetters(cast(DeadLetterStore, commands), cast(Commands, commands))
    with pytest.raises(ServiceError) as caught:
        await dead_letters.requeue(ACTOR, command_id, Changes(), "")
    assert caught.value.reason is Reason.DEAD_LETTER_REQUEUED
    assert caught.value.metadata == {"command_id": str(command_id)}


async def test_requeue_of_texts_that_are_no_ids_needs_no_query() -> None:
    store = PostgresDeadLetters(cast(Database, object()))
    assert await store.commands("acme", []) == ({}, 0)
