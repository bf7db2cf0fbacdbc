"""Stores commands in Postgres."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.calls import Actor
from libs.db import BusyError, Database, KeyedBatcher, load_statements
from libs.dispatches import PRIORITIES
from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.idempotency import IdempotencyKey, KeyedItem, PostgresKeys, folded, key_columns
from libs.ids import partition_of, uuid7
from libs.notifications import Appended, Notifier
from services.command.commands.model import (
    RUN_OPTIONS,
    STORED,
    Cancel,
    CancelCode,
    Cancelled,
    Command,
    CommandFilter,
    CommandState,
    NewCommand,
    OpenCommandFilter,
    SubmitCode,
    Submitted,
)
from services.command.commands.ports import DispatchQueue
from services.command.dispatch.model import Dispatch

_SQL = load_statements(Path(__file__).with_name("queries.sql"), command=[name for name in STORED if name != "result"])
_CARRIED = [field.name for field in fields(NewCommand) if field.name not in ("key", "hash", *RUN_OPTIONS)]
_PARTITIONS_KEPT = 100_000


@dataclass(slots=True)
class _SubmitRow(Appended):
    ord: int
    code: SubmitCode
    command_id: UUID
    correlation_id: str | None
    agent_id: str | None
    session_id: str | None
    enqueued_at: datetime
    runner_id: UUID | None
    state: str | None


@dataclass(slots=True)
class _CancelRow(Appended):
    command_id: UUID
    code: CancelCode
    state: CommandState | None
    runner_id: UUID | None


@dataclass(slots=True)
class _PartitionRow:
    command_id: UUID
    partition: int


class PostgresCommands:
    """The commands of all tenants. Submits are batched by log partition and dispatched after the commit."""

    def __init__(self, database: Database, notifier: Notifier, dispatches: DispatchQueue) -> None:
        self._database = database
        self._keys = PostgresKeys(database)
        self._notifier = notifier
        self._dispatches = dispatches
        self._partitions: dict[tuple[str, str], int] = {}
        self._submits: KeyedBatcher[tuple[str, int, str], KeyedItem, Submitted] = KeyedBatcher(
            self._flush, max_batch=250
        )
        self._cancels: KeyedBatcher[tuple[str, int], dict[str, Any], Cancelled] = KeyedBatcher(self._flush_cancels)

    async def submit(self, actor: Actor, method: str, command: NewCommand) -> Submitted:
        """Store a command, or return the answer of the command that its key was used for."""
        key = IdempotencyKey(method, command.key, command.hash) if command.key else None
        item = KeyedItem(key, _item(actor, command))
        partition = await self._partition(actor.tenant_id, command)
        if partition is None:
            return _no_session(item)
        done = await self._submits.run((actor.tenant_id, partition, method), item)
        if done.code == SubmitCode.MOVED:
            # The session was deleted since its partition was read, and its id was used for another one.
            self._partitions.pop((actor.tenant_id, command.session_id), None)
            partition = await self._partition(actor.tenant_id, command)
            if partition is None:
                return _no_session(item)
            done = await self._submits.run((actor.tenant_id, partition, method), item)
        return done

    async def _partition(self, tenant_id: str, command: NewCommand) -> int | None:
        """Return the log partition of a command's session, None when there is no such session."""
        if command.agent_id:
            return partition_of(command.agent_id)
        kept = self._partitions.get((tenant_id, command.session_id))
        if kept is not None:
            return kept
        found = await self._database.values(_SQL["partition_of_session"], (tenant_id, command.session_id))
        if not found:
            return None
        if len(self._partitions) >= _PARTITIONS_KEPT:
            self._partitions.clear()
        partition: int = found[0]
        self._partitions[tenant_id, command.session_id] = partition
        return partition

    async def _flush(self, key: tuple[str, int, str], items: Sequence[KeyedItem]) -> list[Submitted]:
        tenant_id, partition, _ = key
        batch, indexes = folded(items)
        try:
            rows = await self._database.records(_SubmitRow, _SQL["submit"], _parameters(key, batch))
        except BusyError:  # certainly rolled back: the batcher runs the batch again
            raise
        except ServiceError:
            # It may have committed (failures, row 20). Look the ids up first, so that nothing is stored twice.
            rows = await self._submit_again(key, batch)
        rows[0].announce(self._notifier, tenant_id, partition)
        failpoint("commands.after_submit_before_enqueue")
        self._dispatches.enqueue(
            [
                Dispatch(tenant_id, partition, item.body["priority"], row.runner_id, row.command_id, 1)
                for row, item in zip(rows, batch, strict=True)
                if row.code == SubmitCode.OK and row.runner_id is not None
            ]
        )
        done = [_submitted(row) for row in rows]
        return [done[index] for index in indexes]

    async def _submit_again(self, key: tuple[str, int, str], batch: Sequence[KeyedItem]) -> list[_SubmitRow]:
        ids = [item.body["id"] for item in batch]
        stored = await self._database.values(_SQL["stored"], (ids, key[0]))
        if stored:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the outcome is unknown; try again with the same key")
        return await self._database.records(_SubmitRow, _SQL["submit"], _parameters(key, batch))

    async def get(self, tenant_id: str, command_id: UUID) -> Command | None:
        """Return a command, None when there is none."""
        found = await self._database.records(Command, _SQL["get"], (tenant_id, command_id))
        return found[0] if found else None

    async def find(
        self, tenant_id: str, wanted: CommandFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Command]:
        """Return commands, newest first, after the keyset `{"at", "id"}`."""
        values = {
            "at": None, "id": None, **(after or {}),
            **_filter(wanted),
            "tenant": tenant_id,
            "limit": limit,
        }  # fmt: skip
        return await self._database.records(Command, _SQL["find"], values)

    async def cancel(self, actor: Actor, command_ids: Sequence[UUID], how: Cancel) -> list[Cancelled]:
        """Cancel waiting commands, and ask the runners of running ones to stop.

        Returns the answers in order of the ids.
        """
        found = await self._database.records(_PartitionRow, _SQL["partitions"], (list(command_ids), actor.tenant_id))
        partitions = {row.command_id: row.partition for row in found}

        async def one(command_id: UUID) -> Cancelled:
            if command_id not in partitions:
                return Cancelled(CancelCode.GONE, None)
            item = {
                "id": str(command_id), "mode": how.mode.value, "grace_ms": how.grace_ms, "reason": how.reason,
                "actor": actor.name, "address": actor.address,
            }  # fmt: skip
            return await self._cancels.run((actor.tenant_id, partitions[command_id]), item)

        return await asyncio.gather(*(one(command_id) for command_id in command_ids))

    async def _flush_cancels(self, key: tuple[str, int], items: Sequence[dict[str, Any]]) -> list[Cancelled]:
        tenant_id, partition = key
        body = orjson.dumps(items).decode()
        rows = await self._database.records(_CancelRow, _SQL["cancel"], (tenant_id, partition, body))
        rows[0].announce(self._notifier, tenant_id, partition)
        if rows[0].first_position is not None:
            self._notifier.commands_waiting()  # the next command of an ordering key may run
        for runner_id in {row.runner_id for row in rows if row.runner_id is not None}:
            self._notifier.runner_has_work(runner_id)
        answers = {str(row.command_id): Cancelled(row.code, row.state) for row in rows}
        return [answers[item["id"]] for item in items]

    async def cancel_key(self, actor: Actor, key: str, how: Cancel) -> UUID | None:
        """Return the command that was submitted under a key. If there is none, record the cancel and return None."""
        about = orjson.dumps({"reason": how.reason, "actor": actor.name, "address": actor.address}).decode()
        command_id = await self._keys.leave_note(actor.tenant_id, "submit", key, about)
        return UUID(command_id) if command_id else None

    async def open_ids(self, tenant_id: str, wanted: OpenCommandFilter, limit: int) -> list[UUID]:
        """Return the ids of commands that have not ended, oldest first."""
        values = {**_filter(wanted), "tenant": tenant_id, "limit": limit}
        return await self._database.values(_SQL["open_ids"], values)


def _filter(wanted: CommandFilter | OpenCommandFilter) -> dict[str, Any]:
    return {**asdict(wanted), "states": list(wanted.states)}


def _item(actor: Actor, command: NewCommand) -> dict[str, Any]:
    """Return a command as an item of `command.submit`."""
    event = {
        "type": command.type,
        "priority": PRIORITIES[command.priority],
        "maxAttempts": command.max_attempts,
        "notBefore": command.not_before.isoformat() if command.not_before else None,
        "requeuedFrom": str(command.requeued_from) if command.requeued_from else None,
    }
    command_id = str(uuid7())
    return {
        **{name: getattr(command, name) for name in _CARRIED},
        "id": command_id,
        "agent_id": command.agent_id or None,
        "session_id": command.session_id or None,
        "correlation_id": command.correlation_id or command_id,
        "actor": actor.name,
        "address": actor.address,
        "options": command.run_options(),
        "ordering_key": command.ordering_key or None,
        "event": orjson.dumps({name: value for name, value in event.items() if value is not None}).decode(),
    }


def _parameters(key: tuple[str, int, str], batch: Sequence[KeyedItem]) -> tuple[Any, ...]:
    """Return the parameters of `command.submit` for a batch."""
    tenant_id, partition, method = key
    bodies = [item.body for item in batch]
    agents = list({body["agent_id"] for body in bodies if body["agent_id"]})
    sessions = list({body["session_id"] for body in bodies if body["session_id"]})
    keys, hashes = key_columns(batch)
    responses = [body["id"] for body in bodies] if keys else []
    return tenant_id, partition, orjson.dumps(bodies).decode(), method, agents, sessions, keys, hashes, responses


def _no_session(item: KeyedItem) -> Submitted:
    now = datetime.now(UTC)
    return Submitted(SubmitCode.SESSION_NOT_FOUND, UUID(item.body["id"]), item.body["correlation_id"], "", "", now, "")


def _submitted(row: _SubmitRow) -> Submitted:
    return Submitted(
        row.code, row.command_id, row.correlation_id or "", row.agent_id or "", row.session_id or "",
        row.enqueued_at, row.state or "",
    )  # fmt: skip
