"""A live connection to one MCP server, for one session."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import structlog
from mcp import ClientSession, MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    LoggingMessageNotificationParams,
    ServerNotification,
    ToolListChangedNotification,
)

from libs.attempts import AttemptFailedError
from services.runner.executors.failures import (
    connection_lost,
    timed_out,
    type_unknown,
)
from services.runner.executors.mcp import http
from services.runner.executors.mcp.commands import COMMANDS, McpAttempt
from services.runner.executors.mcp.handshake import (
    CLIENT,
    describe,
    initialize,
)
from services.runner.executors.mcp.reports import Reports
from services.runner.executors.mcp.results import storable
from services.runner.executors.mcp.tools import ToolCache
from services.runner.executors.mcp.transport import Transport
from services.runner.executors.ports import Execution, Reporter

_log = structlog.get_logger(__name__)

_CLOSED = "it was closed"
_PING_SECONDS = 5.0
_CANCEL_GRACE = 3.0  # seconds for a server to clean up when a cancelled command ends it
_LOST_GRACE = 1.0  # seconds for the rest of the process group of a server that died or closed its output


class McpConnection:
    """A connection to one server. `open` connects it, once.

    The SDK's contexts hold cancel scopes, which must be left by the task that entered them. So one task, the owner,
    enters them, waits until the connection is lost or closed, and leaves them. Executions run in the tasks of their
    callers and exchange messages with the owner. Nothing ever cancels the owner.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        ends_when_cancelled: bool = False,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the connection.

        `ends_when_cancelled` is for servers that ignore cancels: a cancel ends the server and everything that runs
        there. `on_end` is called once everything of the connection is freed.
        """
        self._name = name
        self._transport = transport
        self._ends_when_cancelled = ends_when_cancelled
        self._on_end = on_end
        self._transport.grace = _LOST_GRACE
        self._lost = asyncio.Event()
        self._reason = ""
        self._suspects: list[Reports] = []
        self._pinging: asyncio.Task[None] | None = None
        self._running: list[Reports] = []
        self._entered = asyncio.Event()
        self._session: ClientSession | None = None
        self._tools: ToolCache | None = None
        self._owner: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._description: Mapping[str, Any] = {}

    @property
    def description(self) -> Mapping[str, Any]:
        """The name, version, protocol, capabilities and tools of the server when it was connected."""
        return self._description

    @property
    def lost(self) -> asyncio.Event:
        """Set when the server exited, closed a pipe or dropped the session, and by `close`.

        Over HTTP, the loss of an idle server goes unnoticed until the next execution.
        """
        return self._lost

    async def open(self) -> None:
        """Connect, initialize the session and list the tools. Raises errors of the SDK and of the system.

        The caller sets the time limit, and calls `close` if this raises.
        """
        self._owner = asyncio.create_task(self._hold_open(), name=f"mcp connection {self._name}")
        await self._entered.wait()
        if self._session is None:
            raise self._failure or ConnectionError(self._reason)
        await initialize(self._session)
        self._tools = ToolCache(self._session)
        await self._tools.all()
        self._description = describe(self._name, self._session, self._tools)

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        """Run one attempt, see the port."""
        command = COMMANDS.get(execution.type)
        if command is None:
            raise type_unknown(execution.type, COMMANDS)
        if self._lost.is_set() or self._session is None or self._tools is None:
            raise connection_lost(self._reason or "it was never opened", charged=False)
        reports = Reports(report)
        attempt = McpAttempt(
            execution=execution,
            session=self._session,
            tools=self._tools,
            progress=reports.progress,
            exchange=(exchange := http.Exchange()),
            explain=lambda error: self._explain(error, reports),
        )
        token = http.exchange.set(exchange)
        self._running.append(reports)
        try:
            async with asyncio.timeout(execution.timeout):
                return storable(await command(attempt))
        except TimeoutError:
            self._check_alive(attempt.session)
            raise timed_out(execution.timeout) from None
        except asyncio.CancelledError:
            self._on_cancelled(attempt.session)
            raise
        finally:
            self._running.remove(reports)
            reports.end()
            http.exchange.reset(token)

    async def close(self, grace: float) -> None:
        """Close within `grace` seconds, see the port. If this is cancelled, the connection continues to close."""
        if not self._lost.is_set():
            self._transport.grace = grace
        self._mark_lost(_CLOSED, by_us=True)
        if self._owner is not None:
            await asyncio.shield(self._owner)

    def diagnosis(self) -> str:
        """Return what is known about a failure, for the operator's log."""
        return "; ".join(filter(None, (self._reason, self._transport.diagnosis(), _innermost(self._failure))))

    async def _hold_open(self) -> None:
        try:
            async with (
                self._transport.open(self._mark_lost) as (reads, writes),
                ClientSession(
                    reads,
                    writes,
                    client_info=CLIENT,
                    message_handler=self._on_message,
                    logging_callback=self._on_log,
                ) as session,
            ):
                self._session = session
                self._entered.set()
                try:
                    await self._lost.wait()
                finally:
                    # Set before the session fails the running requests, so that they report the reason.
                    self._mark_lost("the transport failed")
        except Exception as error:  # noqa: BLE001 - a transport may raise anything; it ends only this connection
            self._failure = error
        finally:
            self._mark_lost("the server could not be reached")
            if self._pinging is not None:
                self._pinging.cancel()
            self._entered.set()
            self._on_end()
            if self._failure is not None or self._reason != _CLOSED:
                _log.info("connection_lost", server=self._name, diagnosis=self.diagnosis())

    def _on_cancelled(self, session: ClientSession) -> None:
        """React to a cancelled execution. The server was notified, but MCP has no reply that confirms a cancel."""
        if self._ends_when_cancelled and not self._lost.is_set():
            self._transport.grace = _CANCEL_GRACE
            self._mark_lost("a command was cancelled, and this server ignores cancels", by_us=True)
        else:
            self._check_alive(session)

    def _check_alive(self, session: ClientSession) -> None:
        """Ping the server after a command that did not end by itself."""
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.create_task(self._ping(session), name=f"mcp ping {self._name}")

    async def _ping(self, session: ClientSession) -> None:
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await session.send_ping()
        except TimeoutError:
            # The running commands are not to blame: the one that is has ended and was charged.
            self._mark_lost(f"the server did not answer a ping within {_PING_SECONDS:g} s", by_us=True)
        except (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # an error is an answer too; otherwise the connection is already lost

    def _mark_lost(self, reason: str, *, by_us: bool = False) -> None:
        """Record the first reason, and which executions were running: only those may have caused the loss."""
        if self._lost.is_set():
            return
        self._reason = reason
        self._suspects = [] if by_us else list(self._running)
        self._lost.set()

    def _explain(self, error: MCPError, reports: Reports) -> AttemptFailedError | None:
        if error.code == CONNECTION_CLOSED and self._transport.makes_closed_errors:
            self._mark_lost("the server broke off its answer")
        if error.code != CONNECTION_CLOSED or not self._lost.is_set():
            return None  # a server may use this code for its own errors
        suspects = len(self._suspects) if reports in self._suspects else 0
        return connection_lost(self._reason, charged=suspects == 1, suspects=suspects)

    async def _on_message(self, message: ServerNotification | Exception) -> None:
        if isinstance(message, ToolListChangedNotification) and self._tools is not None:
            self._tools.expire()

    async def _on_log(self, params: LoggingMessageNotificationParams) -> None:
        """Report a log line if only one execution is running: MCP does not say which one a line belongs to."""
        if len(self._running) == 1:
            self._running[0].log(params)


def _innermost(error: BaseException | None) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return "" if error is None else f"{type(error).__name__}: {error}"
