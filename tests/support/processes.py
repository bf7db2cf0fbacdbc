"""The suite as real processes that a test can start, kill and pause.

None restarts by itself.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from psycopg.rows import TupleRow

from libs.identity.admin import create_key
from libs.rpc.stubs import Stubs
from tests.support.eventually import eventually
from tests.support.http_clients import http_client
from tests.support.suite_process import SuiteProcess

TENANT = "acme"


@dataclass
class Suite:
    """The running suite."""

    folder: Path
    database_url: str
    key: str
    postgres: SuiteProcess
    nats: SuiteProcess
    nats_store: Path
    sessions: list[SuiteProcess]
    commands: list[SuiteProcess]
    runners: list[SuiteProcess]
    gateway: SuiteProcess
    effects: Path
    clients: list[Stubs] = field(default_factory=list)
    https: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def services(self) -> list[SuiteProcess]:
        """All processes but the engines."""
        return [*self.sessions, *self.commands, *self.runners, self.gateway]

    @property
    def parts(self) -> list[SuiteProcess]:
        """All processes, in the order of their start."""
        return [self.postgres, self.nats, *self.services]

    async def heal(self) -> None:
        """Resumes and restarts all processes, whatever an earlier test did to them."""
        for part in self.parts:
            part.resume()
        for engine in (self.postgres, self.nats):
            if not engine.is_running:
                await engine.start()
        await asyncio.gather(*(part.start() for part in self.services if not part.is_running))

    def client(self, key: str | None = None, *, session: int = 0, command: int = 0) -> Stubs:
        """A client of one replica of each service."""
        made = Stubs(self.sessions[session].address, self.commands[command].address, key or self.key)
        self.clients.append(made)
        return made

    def http(self, key: str | None = None) -> httpx2.AsyncClient:
        """A client of the gateway."""
        made = gateway_client(f"http://{self.gateway.address}", key or self.key)
        self.https.append(made)
        return made

    def new_key(self, role: str = "admin", tenant: str = TENANT) -> str:
        """Creates an API key, and its tenant if that is new."""
        with psycopg.connect(self.database_url) as connection:
            return create_key(connection, tenant, role).secret_text

    async def rows(self, query: str, *parameters: Any) -> list[TupleRow]:
        """Runs a query as the database's owner."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def until(self, query: str, *parameters: Any, seconds: float = 20.0) -> None:
        """Waits until a query of one value returns true."""

        async def is_true() -> bool:
            return bool((await self.rows(query, *parameters))[0][0])

        await eventually(is_true, seconds)

    async def close(self) -> None:
        """Closes all clients."""
        for client in self.clients:
            await client.close()
        for http in self.https:
            await http.aclose()
        self.clients, self.https = [], []

    async def runner_of(self, command_id: str) -> SuiteProcess:
        """Waits until a runner runs this command, and returns it."""
        return await self._runner(
            "select r.name from command.commands c join command.runners r using (runner_id) "
            "where c.command_id = %s and c.state = 'running'",
            command_id,
        )

    async def runner_of_session(self, session_id: str) -> SuiteProcess:
        """The runner that holds the session's connection."""
        return await self._runner(
            "select r.name from command.connections n join command.runners r using (runner_id) "
            "where n.session_id = %s and n.state = 'connected'",
            session_id,
        )

    async def _runner(self, query: str, parameter: str) -> SuiteProcess:
        async def name() -> str:
            rows = await self.rows(query, parameter)
            return str(rows[0][0]) if rows else ""

        found = await eventually(name, 20)
        return next(part for part in self.runners if part.name == found)

    def tool_pids(self) -> dict[str, set[int]]:
        """The processes in which the trial server ran each command, by command id."""
        pids: dict[str, set[int]] = {}
        for effect in self.effect_lines():
            pids.setdefault(str(effect["commandId"]), set()).add(int(effect["pid"]))
        return pids

    def effect_lines(self) -> list[dict[str, Any]]:
        """The effects that the trial servers recorded."""
        if not self.effects.exists():
            return []
        return [json.loads(line) for line in self.effects.read_text().splitlines()]


def gateway_client(url: str, key: str) -> httpx2.AsyncClient:
    """A client of a gateway, with a key."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
    return http_client(base_url=url, headers=headers, timeout=20)
