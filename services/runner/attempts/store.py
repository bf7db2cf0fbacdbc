"""What runners do, in Postgres: leases, connections, claims and ends of attempts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.attempts import Finish, PostgresFinishes, Report
from libs.db import Database, KeyedBatcher, load_statements
from libs.notifications import Notifier
from services.runner.attempts.ports import Claim, Work
from services.runner.connections.ports import WantedConnection
from services.runner.ports import Asked

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class PostgresWork:
    """The runners' side of the commands; claims, reports and ends are batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._claims: KeyedBatcher[tuple[str, int, UUID], UUID, Claim] = KeyedBatcher(self._flush_claims)
        self._reads: KeyedBatcher[str, UUID, Work | None] = KeyedBatcher(self._flush_reads)
        self._connects: KeyedBatcher[tuple[str, int, UUID], tuple[UUID, str], bool] = KeyedBatcher(self._flush_connects)
        self._reports: KeyedBatcher[tuple[str, int], Report, bool] = KeyedBatcher(self._flush_reports)
        self._finishes = PostgresFinishes(database, notifier)

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Enter a runner, with a first lease of so many seconds."""
        await self._database.changed(_SQL["register"], (runner_id, name, slots, lease))

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the runner's lease; false when it was declared dead: it owns nothing any more."""
        return await self._database.changed(_SQL["heartbeat"], (lease, runner_id)) == 1

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead by its own wish; what it still holds is taken from it at once."""
        await self._database.changed(_SQL["leave"], (runner_id,))

    async def asked_of(self, runner_id: UUID, executing: Sequence[tuple[str, UUID, UUID]]) -> Asked:
        """Return what is asked of a runner that executes these (tenant, command, lease token)."""
        taken: list[tuple[Any, ...]] = []
        if executing:
            items = [{"tenant_id": tenant, "id": command_id, "token": token} for tenant, command_id, token in executing]
            taken = await self._database.rows(_SQL["taken"], (orjson.dumps(items).decode(),))
        cancel = await self._database.rows(_SQL["asked_to_cancel"], (runner_id,))
        close = await self._database.rows(_SQL["asked_to_close"], (runner_id,))
        kill = await self._database.rows(_SQL["asked_to_kill"], (runner_id,))
        owned = await self._database.rows(_SQL["owned"], (runner_id,))
        held = await self._database.rows(_SQL["held"], (runner_id,))
        return Asked(
            [row[0] for row in cancel],
            [row[0] for row in taken],
            [(tenant, uid) for tenant, uid in close],
            [(tenant, uid) for tenant, uid in kill],
            [(tenant, uid) for tenant, uid in owned],
            [(tenant, part, command_id, token) for tenant, part, command_id, token in held],
        )

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        """Take sessions that want a connection; none for a runner that was declared dead."""
        return await self._database.records(WantedConnection, _SQL["wanted"], (runner_id, runner_id, limit))

    async def connected(self, tenant_id: str, part: int, runner_id: UUID, session_uid: UUID, event: str) -> bool:
        """Say that a session's agent is connected; false when the session is no longer the runner's."""
        return await self._connects.run((tenant_id, part, runner_id), (session_uid, event))

    async def _flush_connects(
        self, key: tuple[str, int, UUID], items: Sequence[tuple[UUID, str]]
    ) -> Sequence[bool]:  # fmt: skip
        tenant_id, part, runner_id = key
        body = orjson.dumps([{"uid": str(uid), "event": event} for uid, event in items]).decode()
        rows = await self._database.rows(_SQL["connected"], (tenant_id, part, runner_id, body))
        if rows:
            self._notifier.appended(tenant_id, part, *rows[0][1:])
            self._notifier.commands_waiting()
        connected = {row[0] for row in rows}
        return [uid in connected for uid, _ in items]

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        """Give a connection back, to be tried by anyone after so many seconds."""
        await self._database.changed(_SQL["connect_failed"], (delay, tenant_id, session_uid, runner_id))

    async def fail_session(self, tenant_id: str, part: int, session_uid: UUID, actor: str, error: str) -> None:
        """Fail a session whose agent cannot be connected."""
        rows = await self._database.rows(_SQL["fail_session"], (tenant_id, part, session_uid, actor, error))
        _, runners, first, last, notification = rows[0]
        if first is not None:
            self._notifier.appended(tenant_id, part, first, last, notification)
        for runner_id in runners or ():
            self._notifier.runner_asked(runner_id)
        self._notifier.sessions_closing()

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        """Say that a connection is closed."""
        await self._database.changed(_SQL["closed"], (tenant_id, session_uid, runner_id))

    async def work(self, tenant_id: str, command_id: UUID) -> Work | None:
        """Return what is to be done for a command, None when there is none."""
        return await self._reads.run(tenant_id, command_id)

    async def _flush_reads(self, tenant_id: str, ids: Sequence[UUID]) -> Sequence[Work | None]:
        rows = await self._database.rows(_SQL["work"], (list(ids), tenant_id))
        found = {row[0]: Work(*row) for row in rows}
        return [found.get(command_id) for command_id in ids]

    async def claim(self, tenant_id: str, part: int, runner_id: UUID, command_id: UUID) -> Claim:
        """Claim a command for a runner."""
        return await self._claims.run((tenant_id, part, runner_id), command_id)

    async def _flush_claims(self, key: tuple[str, int, UUID], ids: Sequence[UUID]) -> Sequence[Claim]:
        tenant_id, part, runner_id = key
        asked = list(dict.fromkeys(ids))
        rows = await self._database.rows(_SQL["claim"], (tenant_id, part, runner_id, asked))
        self._tell(tenant_id, part, rows)
        claims = {row[0]: Claim(row[1], row[0], row[2], row[3] or 0, row[4] or 0, row[5] or 0) for row in rows}
        seen: set[UUID] = set()
        answers = []
        for command_id in ids:  # of two deliveries of one command in a batch, the second finds it gone
            twice = command_id in seen
            seen.add(command_id)
            answers.append(Claim("gone", command_id, None, 0, 0, 0) if twice else claims[command_id])
        return answers

    async def report(self, tenant_id: str, part: int, report: Report) -> bool:
        """Store progress or output; false when the lease is gone."""
        return await self._reports.run((tenant_id, part), report)

    async def _flush_reports(self, key: tuple[str, int], reports: Sequence[Report]) -> Sequence[bool]:
        tenant_id, part = key
        items = [
            {
                "id": str(report.command_id), "token": str(report.token), "progress": report.progress,
                "type": report.type, "payload": report.payload, "actor": report.actor,
            }
            for report in reports
        ]  # fmt: skip
        rows = await self._database.rows(_SQL["report"], (tenant_id, part, orjson.dumps(items).decode()))
        self._tell(tenant_id, part, rows[-1:])
        fenced = {row[0] for row in rows if row[1] == "fenced"}
        return [report.command_id not in fenced for report in reports]

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> str:
        """End an attempt; answers the state that the command is in now, or `fenced`."""
        return await self._finishes.finish(tenant_id, part, finish)

    def _tell(self, tenant_id: str, part: int, rows: Sequence[Sequence[Any]]) -> None:
        if rows and rows[0][-3] is not None:
            self._notifier.appended(tenant_id, part, *rows[0][-3:])
