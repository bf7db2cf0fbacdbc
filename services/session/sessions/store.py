"""Sessions in Postgres."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from libs.calls import Actor, IdempotencyKey
from libs.db import Database, KeyedBatcher, load_statements
from libs.db.folding import folded
from libs.ids import partition_of, uuid7
from libs.notifications import Notifier
from services.session.sessions.model import (
    Session,
    SessionFilter,
    SessionSpec,
)
from services.session.sessions.ports import (
    Started,
    StopRequest,
    StopStep,
    Unfinished,
)

_SQL = load_statements(Path(__file__).with_name("queries.sql"))
_LIST = [
    "session_uid",
    "session_id",
    "agent_id",
    "part",
    "state",
    "session_type",
    "mode",
    "title",
    "task",
    "task_id",
    "workspace",
    "user_id",
    "channel_id",
    "resource_id",
    "labels",
    "context",
    "metadata",
    "restart_count",
    "restarted_from",
    "created_by",
    "version",
    "result",
    "error",
    "created_at",
    "updated_at",
    "started_at",
    "ended_at",
]
_sessions = sa.table("sessions", sa.column("tenant_id"), *(sa.column(name) for name in _LIST), schema="session")
_heads = sa.table(
    "heads", sa.column("tenant_id"), sa.column("session_uid"), sa.column("last_seq"), schema="session"
)  # fmt: skip


class PostgresSessions:
    """The sessions of all tenants; starts are batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._starts: KeyedBatcher[tuple[str, int], dict[str, Any], Started] = KeyedBatcher(self._flush_starts)

    async def start(
        self,
        actor: Actor,
        agent_id: str,
        spec: SessionSpec,
        *,
        fail_on_conflict: bool,
        key: IdempotencyKey | None,
    ) -> Started:
        """Start a session, or find the live one; races end with one winner."""
        item = {
            **_opening(actor, spec),
            "agent_id": agent_id,
            "fail_on_conflict": fail_on_conflict,
            "key": key.key if key else None,
            "hash": key.hash.hex() if key else None,
        }
        return await self._starts.run((actor.tenant_id, partition_of(agent_id)), item)

    async def _flush_starts(self, key: tuple[str, int], items: Sequence[dict[str, Any]]) -> list[Started]:
        tenant_id, part = key
        batch, places = folded(items)
        rows = await self._database.rows(_SQL["start"], (tenant_id, part, orjson.dumps(batch).decode()))
        _, _, _, _, _, first, last, notification = rows[0]
        if first is not None:
            self._notifier.appended(tenant_id, part, first, last, notification)
            self._notifier.connections_wanted()
        uids = {uid for _, _, uid, snapshot, *_ in rows if snapshot is not None}
        found = await self._by_uid(tenant_id, list(uids)) if uids else {}
        answers = [
            Started(code, found[uid].as_of(snapshot) if snapshot is not None else None, detail or "")
            for _, code, uid, snapshot, detail, *_ in rows
        ]
        return [answers[place] for place in places]

    async def stop(self, actor: Actor, request: StopRequest) -> StopStep:
        """Begin a stop or a restart, and finish it at once when no command is open."""
        part = partition_of(request.agent_id)
        if not request.agent_id:
            found = await self.part_of_session(actor.tenant_id, request.session_id)
            if found is None:
                return StopStep("session_not_found", None, None, None, 0, (), "")
            part = found
        body = {
            "agent_id": request.agent_id or None,
            "session_id": request.session_id or None,
            "state": "stopped",
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
        rows = await self._database.rows(_SQL["stop"], (actor.tenant_id, part, orjson.dumps(body).decode()))
        return await self._step(actor.tenant_id, part, rows[0])

    async def advance_stop(self, tenant_id: str, part: int, session_uid: UUID, *, force: bool) -> StopStep:
        """Carry a stop on; by force, cancel what still runs."""
        rows = await self._database.rows(_SQL["stop_further"], (tenant_id, part, session_uid, force))
        return await self._step(tenant_id, part, rows[0])

    async def _step(self, tenant_id: str, part: int, row: Sequence[Any]) -> StopStep:
        code, uid, snapshot, next_uid, next_snapshot, open_commands, runners, first, last, notification, detail = row
        if first is not None:
            self._notifier.appended(tenant_id, part, first, last, notification)
        for runner_id in runners or ():
            self._notifier.runner_asked(runner_id)
        if next_uid is not None and code != "replayed":
            self._notifier.connections_wanted()
        wanted = [u for u, s in ((uid, snapshot), (next_uid, next_snapshot)) if u is not None and s is not None]
        found = await self._by_uid(tenant_id, wanted) if wanted else {}
        return StopStep(
            code,
            uid,
            found[uid].as_of(snapshot) if uid in found else None,
            found[next_uid].as_of(next_snapshot) if next_uid in found else None,
            open_commands or 0,
            runners or (),
            detail or "",
        )

    async def part_of_session(self, tenant_id: str, session_id: str) -> int | None:
        """Return the log partition of a session, None when there is none."""
        session = await self.get(tenant_id, session_id)
        return session.part if session else None

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
        """Return sessions, newest first, after the place `{"at", "uid"}`."""
        table = _sessions.c
        query = (
            sa.select(*(table[name] for name in _LIST), _heads.c.last_seq)
            .join(_heads, (_heads.c.tenant_id == table.tenant_id) & (_heads.c.session_uid == table.session_uid))
            .where(table.tenant_id == tenant_id)
            .order_by(table.created_at.desc(), table.session_uid.desc())
            .limit(limit)
        )
        for name in ("agent_id", "session_type", "mode", "user_id", "channel_id", "resource_id", "task_id"):
            if value := getattr(wanted, name):
                query = query.where(table[name] == value)
        if wanted.states:
            query = query.where(table.state.in_(wanted.states))
        if wanted.labels:
            query = query.where(table.labels.op("@>")(sa.cast(orjson.dumps(dict(wanted.labels)).decode(), JSONB)))
        if wanted.created_after:
            query = query.where(table.created_at >= wanted.created_after)
        if wanted.created_before:
            query = query.where(table.created_at < wanted.created_before)
        if after:
            place = sa.tuple_(
                sa.cast(after["at"], sa.TIMESTAMP(timezone=True)),
                sa.cast(after["uid"], sa.UUID(as_uuid=False)),
            )
            query = query.where(sa.tuple_(table.created_at, table.session_uid) < place)
        return await self._database.selected(Session, query)

    async def stopping(self, older_than: float) -> list[Unfinished]:
        """Return sessions that have been stopping for longer than so many seconds."""
        return await self._database.records(Unfinished, _SQL["stopping"], (older_than,))

    async def forget_keys(self) -> None:
        """Delete idempotency keys that are past their time."""
        await self._database.changed(_SQL["forget_keys"])


def _opening(actor: Actor, spec: SessionSpec) -> dict[str, Any]:
    """Return the fields of a new session as the database's functions take them, with ids made where none are given."""
    return {
        "session_uid": str(uuid7()),
        "session_id": spec.session_id or f"ses-{uuid4().hex}",
        "session_type": spec.session_type,
        "mode": spec.mode,
        "title": spec.title,
        "task": spec.task,
        "task_id": spec.task_id or f"task-{uuid4().hex}",
        "workspace": spec.workspace,
        "user_id": spec.user_id,
        "channel_id": spec.channel_id,
        "resource_id": spec.resource_id,
        "labels": dict(spec.labels),
        "context": spec.context,
        "metadata": spec.metadata,
        "actor": actor.name,
        "address": actor.address,
    }
