"""Stores sessions in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson

from libs.calls import Actor
from libs.db import Database, KeyedBatcher, load_statements
from libs.idempotency import IdempotencyKey, KeyedItem, folded, key_columns
from libs.ids import partition_of, uuid7
from libs.notifications import Appended, Notifier
from services.session.sessions.model import (
    Session,
    SessionFilter,
    SessionSpec,
    SessionState,
    StartCode,
    StopCode,
)
from services.session.sessions.ports import (
    Started,
    StopRequest,
    StopStep,
    Unfinished,
)

_COLUMNS = [field.name for field in fields(Session) if field.name != "last_seq"]
_SQL = load_statements(Path(__file__).with_name("queries.sql"), session=_COLUMNS)
_SPEC = [field.name for field in fields(SessionSpec)]


@dataclass(slots=True)
class _StartRow(Appended):
    ord: int
    code: StartCode
    session_uid: UUID | None
    snapshot: dict[str, Any] | None
    detail: str | None


@dataclass(slots=True)
class _StopRow(Appended):
    code: StopCode
    session_uid: UUID | None
    snapshot: dict[str, Any] | None
    next_uid: UUID | None
    next_snapshot: dict[str, Any] | None
    open_commands: int | None
    runners: list[UUID] | None
    detail: str | None


class PostgresSessions:
    """The sessions of all tenants. Starts are batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._starts: KeyedBatcher[tuple[str, int], KeyedItem, Started] = KeyedBatcher(self._flush_starts)

    async def start(
        self,
        actor: Actor,
        agent_id: str,
        spec: SessionSpec,
        *,
        fail_on_conflict: bool,
        key: IdempotencyKey | None,
    ) -> Started:
        """Start a session, or return the live one. Of concurrent starts, one creates the session."""
        item = {
            **_opening(actor, spec),
            "agent_id": agent_id,
            "fail_on_conflict": fail_on_conflict,
        }
        return await self._starts.run((actor.tenant_id, partition_of(agent_id)), KeyedItem(key, item))

    async def _flush_starts(self, key: tuple[str, int], items: Sequence[KeyedItem]) -> list[Started]:
        tenant_id, partition = key
        batch, indexes = folded(items)
        values = (tenant_id, partition, orjson.dumps([item.body for item in batch]).decode(), *key_columns(batch))
        rows = await self._database.records(_StartRow, _SQL["start"], values)
        rows[0].announce(self._notifier, tenant_id, partition)
        if rows[0].first_position is not None:
            self._notifier.connections_wanted()
        uids = {row.session_uid for row in rows if row.snapshot is not None and row.session_uid is not None}
        found = await self._by_uid(tenant_id, list(uids)) if uids else {}
        answers = [Started(row.code, _as_of(found, row.session_uid, row.snapshot), row.detail or "") for row in rows]
        return [answers[index] for index in indexes]

    async def stop(self, actor: Actor, request: StopRequest) -> StopStep:
        """Begin a stop or a restart, and finish it if no command is open."""
        partition = partition_of(request.agent_id)
        if not request.agent_id:
            found = await self.partition_of_session(actor.tenant_id, request.session_id)
            if found is None:
                return StopStep(StopCode.SESSION_NOT_FOUND, None, None, None, 0, (), "")
            partition = found
        body = {
            "agent_id": request.agent_id or None,
            "session_id": request.session_id or None,
            "state": SessionState.STOPPED,
            "reason": request.reason or None,
            "actor": actor.name,
            "address": actor.address,
            "grace_ms": round(request.grace * 1000),
            "method": request.key.method if request.key else None,
            "key": request.key.key if request.key else None,
            "hash": request.key.hash.hex() if request.key else None,
            "successor": None
            if request.successor is None
            else {**_opening(actor, request.successor), "inherit": request.inherit, "reason": request.reason},
        }
        values = (actor.tenant_id, partition, orjson.dumps(body).decode())
        (row,) = await self._database.records(_StopRow, _SQL["stop"], values)
        return await self._step(actor.tenant_id, partition, row)

    async def advance_stop(self, tenant_id: str, partition: int, session_uid: UUID, *, force: bool) -> StopStep:
        """Advance a stop by one step. With `force`, cancel the running commands too."""
        values = (tenant_id, partition, session_uid, force)
        (row,) = await self._database.records(_StopRow, _SQL["advance_stop"], values)
        return await self._step(tenant_id, partition, row)

    async def _step(self, tenant_id: str, partition: int, row: _StopRow) -> StopStep:
        row.announce(self._notifier, tenant_id, partition)
        for runner_id in row.runners or ():
            self._notifier.runner_has_work(runner_id)
        if row.next_uid is not None and row.code != StopCode.REPLAYED:
            self._notifier.connections_wanted()
        shown = ((row.session_uid, row.snapshot), (row.next_uid, row.next_snapshot))
        uids = [uid for uid, snapshot in shown if uid is not None and snapshot is not None]
        found = await self._by_uid(tenant_id, uids) if uids else {}
        return StopStep(
            row.code,
            row.session_uid,
            _as_of(found, row.session_uid, row.snapshot),
            _as_of(found, row.next_uid, row.next_snapshot),
            row.open_commands or 0,
            row.runners or (),
            row.detail or "",
        )

    async def partition_of_session(self, tenant_id: str, session_id: str) -> int | None:
        """Return the log partition of a session, None when there is none."""
        session = await self.get(tenant_id, session_id)
        return session.partition if session else None

    async def get(self, tenant_id: str, session_id: str) -> Session | None:
        """Return a session by its id, None when there is none."""
        found = await self._database.records(Session, _SQL["by_id"], (tenant_id, session_id))
        return found[0] if found else None

    async def _by_uid(self, tenant_id: str, uids: Sequence[UUID]) -> dict[UUID, Session]:
        found = await self._database.records(Session, _SQL["by_uid"], {"tenant": tenant_id, "uids": list(uids)})
        return {session.session_uid: session for session in found}

    async def find(
        self, tenant_id: str, wanted: SessionFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Session]:
        """Return sessions, newest first, after the keyset `{"at", "uid"}`."""
        values = {
            "at": None, "uid": None, **(after or {}),
            **asdict(wanted),
            "states": list(wanted.states),
            "labels": orjson.dumps(dict(wanted.labels)).decode() if wanted.labels else None,
            "tenant": tenant_id,
            "limit": limit,
        }  # fmt: skip
        return await self._database.records(Session, _SQL["find"], values)

    async def stopping(self, older_than: float) -> list[Unfinished]:
        """Return the sessions that have been stopping for more than `older_than` seconds."""
        return await self._database.records(Unfinished, _SQL["stopping"], (older_than,))


def _as_of(found: Mapping[UUID, Session], uid: UUID | None, snapshot: Mapping[str, Any] | None) -> Session | None:
    """Return a session as of its snapshot; None without a snapshot, or when the session was deleted since."""
    session = found.get(uid) if uid is not None else None
    return session.as_of(snapshot) if session is not None and snapshot is not None else None


def _opening(actor: Actor, spec: SessionSpec) -> dict[str, Any]:
    """Return the fields of a new session for the database's functions, with new ids where none are given."""
    return {
        **{name: getattr(spec, name) for name in _SPEC},
        "session_uid": str(uuid7()),
        "session_id": spec.session_id or f"ses-{uuid4().hex}",
        "task_id": spec.task_id or f"task-{uuid4().hex}",
        "labels": dict(spec.labels),
        "actor": actor.name,
        "address": actor.address,
    }
