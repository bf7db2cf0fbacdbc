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
from services.runner.executors.mcp.commands import COMMANDS, Attempt
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

_PING_SECONDS = 5.0
_CANCEL_GRACE = 3.0  # seconds for a server to clean up that is ended because a command was cancelled
_LOST_GRACE = 1.0  # seconds for the rest of the group of a server that died, or closed its output


class McpConnection:
    """Made unconnected; `open` connects it, once.

    The SDK's contexts hold cancel scopes, which must be left by the task that entered them. So one task,
    the owner, enters them, waits until the connection is lost or closed, and leaves them.
    Executions run in their callers' tasks and only exchange messages with it; nobody ever cancels the owner.
    """

    def __init__(
        self,
        name: str,
        link: Transport,
        *,
        ends_when_cancelled: bool = False,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`ends_when_cancelled`: the server does not heed cancels, so one ends it with all that runs there. `on_end` is
        called when nothing of the connection is left."""
        self._name = name
        self._link = link
        self._ends_when_cancelled = ends_when_cancelled
        self._on_end = on_end
        self._link.grace = _LOST_GRACE
        self._lost = asyncio.Event()
        self._reason = ""
        self._suspects: list[Reports] = []
        self._doubting: asyncio.Task[None] | None = None
        self._running: list[Reports] = []
        self._entered = asyncio.Event()
        self._session: ClientSession | None = None
        self._tools: ToolCache | None = None
        self._owner: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._description: Mapping[str, Any] = {}

    @property
    def description(self) -> Mapping[str, Any]:
        """Name, version, protocol, capabilities, and which tools there were at the start."""
        return self._description

    @property
    def lost(self) -> asyncio.Event:
        """Set when the server ended, closed a pipe, or forgot the session; and by `close`.

        Over HTTP nothing tells that an idle server is gone: the next execution finds out, and sets it.
        """
        return self._lost

    async def open(self) -> None:
        """Connect, greet and list the tools; raises what went wrong as the SDK or the system says it.

        The caller sets the time limit, and calls `close` when this raises.
        """
        self._owner = asyncio.create_task(self._own(), name=f"mcp connection {self._name}")
        await self._entered.wait()
        if self._session is None:
            raise self._failure or ConnectionError(self._reason)
        await initialize(self._session)
        self._tools = ToolCache(self._session)
        await self._tools.all()
        self._description = describe(self._name, self._session, self._tools)

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        """Run one attempt, as the port says."""
        command = COMMANDS.get(execution.type)
        if command is None:
            raise type_unknown(execution.type, COMMANDS)
        if self._lost.is_set() or self._session is None or self._tools is None:
            raise connection_lost(self._reason or "it was never open", charged=False)
        reports = Reports(report)
        attempt = Attempt(
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
            self._doubt()
            raise timed_out(execution.timeout) from None
        except asyncio.CancelledError:
            self._abandoned()
            raise
        finally:
            self._running.remove(reports)
            reports.end()
            http.exchange.reset(token)

    async def close(self, grace: float) -> None:
        """Close within `grace` seconds, as the port says. Cancelled, it goes on by itself."""
        if not self._lost.is_set():
            self._link.grace = grace
        self._lose("it was closed", by_us=True)
        if self._owner is not None:
            await asyncio.shield(self._owner)

    def diagnosis(self) -> str:
        """Return what is known of a failure, for the operator's log."""
        return "; ".join(filter(None, (self._reason, self._link.diagnosis(), _innermost(self._failure))))

    async def _own(self) -> None:
        try:
            async with (
                self._link.open(self._lose) as (reads, writes),
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
                    # Before the session fails what runs, which then says why.
                    self._lose("the transport failed")
        except Exception as error:  # noqa: BLE001 - whatever a transport raises, it ends this connection alone
            self._failure = error
        finally:
            self._lose("the server could not be reached")
            if self._doubting is not None:
                self._doubting.cancel()
            self._entered.set()
            self._on_end()
            if self._failure is not None or self._reason != "it was closed":
                _log.info("connection_lost", server=self._name, diagnosis=self.diagnosis())

    def _abandoned(self) -> None:
        """An execution was cancelled. The server was told; that it heeds it, MCP has it say to nobody."""
        if self._ends_when_cancelled and not self._lost.is_set():
            self._link.grace = _CANCEL_GRACE
            self._lose("a command was cancelled, and this server heeds no cancel", by_us=True)
        else:
            self._doubt()

    def _doubt(self) -> None:
        """A command did not end by itself: see whether the server still answers anything."""
        if self._doubting is None or self._doubting.done():
            self._doubting = asyncio.create_task(self._ask(), name=f"mcp ping {self._name}")

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_PING_SECONDS):
                if self._session is not None:
                    await self._session.send_ping()
        except TimeoutError:
            # Those that are under way did nothing wrong: the one that did has ended, and was charged.
            self._lose(f"the server did not answer a ping within {_PING_SECONDS:g} s", by_us=True)
        except (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # an answer too, or the connection is lost already

    def _lose(self, reason: str, *, by_us: bool = False) -> None:
        """Note the first reason, and which executions were under way: one that was alone may be to blame."""
        if self._lost.is_set():
            return
        self._reason = reason
        self._suspects = [] if by_us else list(self._running)
        self._lost.set()

    def _explain(self, error: MCPError, reports: Reports) -> AttemptFailedError | None:
        if error.code == CONNECTION_CLOSED and self._link.makes_closed_errors:
            self._lose("the server broke off its answer")
        if error.code != CONNECTION_CLOSED or not self._lost.is_set():
            return None  # a server may use this code for errors of its own
        suspects = len(self._suspects) if reports in self._suspects else 0
        return connection_lost(self._reason, charged=suspects == 1, suspects=suspects)

    async def _on_message(self, message: ServerNotification | Exception) -> None:
        if isinstance(message, ToolListChangedNotification) and self._tools is not None:
            self._tools.expire()

    async def _on_log(self, params: LoggingMessageNotificationParams) -> None:
        """Pass a log line on if one execution alone can have caused it: MCP does not say whose it is."""
        if len(self._running) == 1:
            self._running[0].log(params)


def _innermost(error: BaseException | None) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return "" if error is None else f"{type(error).__name__}: {error}"
