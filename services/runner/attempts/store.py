"""Attempts in Postgres: claims, reports and ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import orjson

from libs.attempts import ClaimCode, Ending, FenceCode, Finish, PostgresFinishes, Report
from libs.db import Database, KeyedBatcher, load_statements
from libs.notifications import Appended, Notifier
from services.runner.attempts.model import Claim, Work
from services.runner.executors.ports import EXECUTION_OPTIONS

_SQL = load_statements(
    Path(__file__).with_name("queries.sql"), option=[f"options.{name}" for name in EXECUTION_OPTIONS]
)  # fmt: skip


@dataclass(slots=True)
class _ClaimRow(Appended):
    command_id: UUID
    code: ClaimCode
    lease_token: UUID | None
    attempt: int | None
    charged: int | None
    released: int | None


@dataclass(slots=True)
class _ReportRow(Appended):
    command_id: UUID | None
    code: FenceCode


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
        """Return what a command has to do, or None if there is no such command."""
        return await self._reads.run(tenant_id, command_id)

    async def _flush_reads(self, tenant_id: str, ids: Sequence[UUID]) -> Sequence[Work | None]:
        rows = await self._database.records(Work, _SQL["work"], (list(ids), tenant_id))
        found = {work.command_id: work for work in rows}
        return [found.get(command_id) for command_id in ids]

    async def claim(self, tenant_id: str, partition: int, runner_id: UUID, command_id: UUID) -> Claim:
        """Claim a command for a runner."""
        return await self._claims.run((tenant_id, partition, runner_id), command_id)

    async def _flush_claims(self, key: tuple[str, int, UUID], ids: Sequence[UUID]) -> Sequence[Claim]:
        tenant_id, partition, runner_id = key
        unique = list(dict.fromkeys(ids))
        rows = await self._database.records(_ClaimRow, _SQL["claim"], (tenant_id, partition, runner_id, unique))
        rows[0].announce(self._notifier, tenant_id, partition)
        claims = {row.command_id: _claim(row) for row in rows}
        seen: set[UUID] = set()
        answers = []
        for command_id in ids:  # of two deliveries of a command in one batch, the second is rejected
            twice = command_id in seen
            seen.add(command_id)
            answers.append(Claim(ClaimCode.GONE, command_id, None, 0, 0, 0) if twice else claims[command_id])
        return answers

    async def report(self, tenant_id: str, partition: int, report: Report) -> bool:
        """Store progress or output. Returns False if the lease no longer holds."""
        return await self._reports.run((tenant_id, partition), report)

    async def _flush_reports(self, key: tuple[str, int], reports: Sequence[Report]) -> Sequence[bool]:
        tenant_id, partition = key
        items = [
            {
                "id": str(report.command_id), "token": str(report.token), "progress": report.progress,
                "type": report.type, "payload": report.payload, "actor": report.actor,
            }
            for report in reports
        ]  # fmt: skip
        body = orjson.dumps(items).decode()
        rows = await self._database.records(_ReportRow, _SQL["report"], (tenant_id, partition, body))
        rows[-1].announce(self._notifier, tenant_id, partition)
        fenced = {row.command_id for row in rows if row.code == FenceCode.FENCED}
        return [report.command_id not in fenced for report in reports]

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> Ending:
        """End an attempt. Returns how it ended, or `fenced` if the lease no longer holds."""
        return await self._finishes.finish(tenant_id, partition, finish)


def _claim(row: _ClaimRow) -> Claim:
    return Claim(row.code, row.command_id, row.lease_token, row.attempt or 0, row.charged or 0, row.released or 0)
