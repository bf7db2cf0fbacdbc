"""Connects sessions to the MCP servers in the operator's server registry."""

import asyncio

import structlog
from mcp import MCPError

from libs.attempts import AttemptFailedError, FailureCode
from libs.server_registry import (
    Entry,
    ServerRegistryFile,
    StdioEntry,
)
from services.runner.executors.failures import failed
from services.runner.executors.mcp import orphans
from services.runner.executors.mcp.connection import McpConnection
from services.runner.executors.mcp.http import HttpTransport
from services.runner.executors.mcp.stdio import StdioTransport
from services.runner.executors.ports import Connector, SessionRef

_log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 60.0


class McpExecutor:
    """The executor of kind `mcp`. A tenant names a server; only operators define what it runs."""

    def __init__(self, server_registry: ServerRegistryFile) -> None:
        self._server_registry = server_registry
        self._live: set[str] = set()

    async def connect(self, session: SessionRef, connector: Connector) -> McpConnection:
        """Connect, see the port. Must be called on the runner's main thread, see `launch.py`."""
        entry = self._server_registry.current().get(connector.server)
        if entry is None:
            raise failed(
                FailureCode.SERVER_NOT_REGISTERED,
                f"no server named {connector.server[:100]!r} is registered",
                server=connector.server[:100],
            )
        connection = self._prepare(entry)
        try:
            async with asyncio.timeout(entry.startup_timeout):
                await connection.open()
        except BaseException as error:
            # If the caller is cancelled here, the connection continues to close by itself.
            await connection.close(0)
            if not isinstance(error, Exception):
                raise
            _log.warning(
                "agent_not_connected",
                tenant_id=session.tenant_id,
                session_id=session.session_id,
                server=entry.name,
                diagnosis=connection.diagnosis(),
            )
            raise _unavailable(entry, error) from error
        return connection

    async def keep_swept(self) -> None:
        """Sweep at once, then once a minute until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(_SWEEP_SECONDS)

    async def sweep(self) -> list[int]:
        """Kill agent processes that no connection owns any more, and return their ids.

        It finds processes that a killed runner left behind, and
        processes that a server of this runner started outside its process group.
        """
        killed = await asyncio.to_thread(orphans.sweep, self._live.__contains__)
        if killed:
            _log.warning("orphans_killed", pids=killed)
        return killed

    def _prepare(self, entry: Entry) -> McpConnection:
        if not isinstance(entry, StdioEntry):
            return McpConnection(entry.name, HttpTransport(entry))
        mark = orphans.new_mark()
        self._live.add(mark)
        return McpConnection(
            entry.name,
            StdioTransport(entry, mark),
            ends_when_cancelled=entry.cancel == "kill",
            on_end=lambda: self._live.discard(mark),
        )


def _unavailable(entry: Entry, error: Exception) -> AttemptFailedError:
    """Return the error for a server that did not start. It tells the tenant nothing of the operator's configuration."""
    if isinstance(error, RuntimeError | ValueError):
        return failed(
            FailureCode.AGENT_PROTOCOL_ERROR,
            f"the server {entry.name!r} does not speak a version of MCP that Callboard supports",
        )
    if isinstance(error, TimeoutError):
        what = f"was not ready within {entry.startup_timeout:g} seconds"
    elif isinstance(error, MCPError | ConnectionError):
        what = "exited or refused the connection before it was ready"
    else:
        what = "could not be started"
    return failed(FailureCode.AGENT_UNAVAILABLE, f"the server {entry.name!r} {what}", retryable=True)
