"""Idempotency keys of operations that take several transactions, leased while they run (concurrency, rule 8)."""

from pathlib import Path

from libs.db import Database, load_statements
from services.command.commands.ports import Taken

_SQL = load_statements(Path(__file__).with_name("queries.sql"), command=())


class PostgresBatchKeys:
    """Remembers for 24 h which request a key was used with, what that stands for, and what came of it."""

    def __init__(self, database: Database, method: str) -> None:
        self._database = database
        self._method = method

    async def take(self, tenant_id: str, key: str, request: bytes, lease: float) -> Taken:
        """Take a key for so many seconds; one whose lease lapsed is taken again, with the plan that it had."""
        values = {"tenant": tenant_id, "method": self._method, "key": key, "hash": request, "lease": lease}
        return (await self._database.records(Taken, _SQL["take_batch_key"], values))[0]

    async def keep_plan(self, tenant_id: str, key: str, plan: str) -> str:
        """Store what the key stands for; the first plan stays, and is returned."""
        return await self._keep("plan", tenant_id, key, plan)

    async def keep_answer(self, tenant_id: str, key: str, answer: str) -> str:
        """Store what came of it and end the lease; the first answer stays, and is returned."""
        return await self._keep("answer", tenant_id, key, answer)

    async def give_back(self, tenant_id: str, key: str) -> None:
        """End the lease of what is not done; a key without a plan is forgotten."""
        values = {"tenant": tenant_id, "method": self._method, "key": key}
        await self._database.changed(_SQL["forget_unplanned"], values)
        await self._database.changed(_SQL["end_lease"], values)

    async def _keep(self, what: str, tenant_id: str, key: str, text: str) -> str:
        values = {"tenant": tenant_id, "method": self._method, "key": key, what: text}
        kept = await self._database.values(_SQL[f"keep_{what}"], values)
        return str(kept[0]) if kept else text  # without a row the key's 24 hours ended meanwhile
