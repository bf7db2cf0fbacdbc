"""Idempotency keys of operations that are the same when they are done twice: cancel and purge."""

from pathlib import Path
from uuid import UUID

from libs.db import Database, load_statements
from services.command.commands.model import KeyCode

_SQL = load_statements(Path(__file__).with_name("queries.sql"), command=())


class PostgresKeys:
    """Remembers for 24 h which request a key was used with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, tenant_id: str, method: str, key: str, request: bytes, command_id: UUID) -> KeyCode:
        """Take a key: `taken`, `replay` of the same request, or `reused` for another."""
        values = {"tenant": tenant_id, "method": method, "key": key, "hash": request, "command": command_id}
        (code,) = await self._database.values(_SQL["take_key"], values)
        return KeyCode(code)

    async def drop(self, tenant_id: str, method: str, key: str) -> None:
        """Forget a key whose request was refused."""
        await self._database.changed(_SQL["drop_key"], {"tenant": tenant_id, "method": method, "key": key})
