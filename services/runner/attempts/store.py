"""Attempts in Postgres: claims, reports and ends."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.attempts import Finish, PostgresFinishes, Report
from libs.db import Database, KeyedBatcher, load_statements
from libs.notifications import Notifier
from services.runner.attempts.ports import Claim, Work

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class PostgresAttempts:
    """Claims, reports and ends, batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._claims: KeyedBatcher[tuple[str, int, UUID], UUID, Claim] = KeyedBatcher(self._flush_claims)
        self._reads: KeyedBatcher[str, UUID, Work | None] = KeyedBatcher(self._flush_reads)
        self._reports: KeyedBatcher[tuple[str, int], Report, bool] = KeyedBatcher(self._flush_reports)
        self._finishes = PostgresFinishes(database, notifier)

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
