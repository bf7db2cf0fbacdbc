"""The echo executor runs in the runner's process: `echo` returns at once, `sleep` after a while."""

import asyncio
from collections.abc import Mapping
from typing import Any

from services.runner.executors.failures import (
    connection_lost,
    invalid_argument,
    timed_out,
    type_unknown,
)
from services.runner.executors.ports import (
    Connector,
    Execution,
    Reporter,
    SessionRef,
)

_MAX_SLEEP = 86_400.0  # seconds


class EchoConnection:
    """A connection whose only state is whether it is closed."""

    def __init__(self) -> None:
        self._lost = asyncio.Event()

    @property
    def description(self) -> Mapping[str, Any]:
        """The name and version of the agent."""
        return {"name": "echo", "version": "1"}

    @property
    def lost(self) -> asyncio.Event:
        """Set by `close` only."""
        return self._lost

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        """Run `echo`, which returns its parameters, or `sleep`, which waits for `seconds`. See the port."""
        if self._lost.is_set():
            raise connection_lost("it was closed", charged=False)
        if execution.type == "echo":
            return {"echo": dict(execution.params)}
        if execution.type == "sleep":
            return await self._sleep(execution)
        raise type_unknown(execution.type, ("echo", "sleep"))

    async def close(self, grace: float) -> None:
        """End all running sleeps. There is nothing to wait for."""
        self._lost.set()

    async def _sleep(self, execution: Execution) -> Mapping[str, Any]:
        seconds = execution.params.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise invalid_argument("params.seconds", "must be a number")
        if not 0 <= seconds <= _MAX_SLEEP:
            raise invalid_argument("params.seconds", f"must be between 0 and {_MAX_SLEEP:g}")
        try:
            await asyncio.wait_for(self._lost.wait(), min(seconds, execution.timeout))
        except TimeoutError:
            if seconds > execution.timeout:
                raise timed_out(execution.timeout) from None
            return {"slept": seconds}
        raise connection_lost("it was closed", charged=False)


class EchoExecutor:
    """An executor whose connections always succeed and lead to no agent."""

    async def connect(self, session: SessionRef, connector: Connector) -> EchoConnection:
        """Return a connection at once. `connector.server` is ignored."""
        return EchoConnection()
