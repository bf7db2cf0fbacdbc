"""Answers in the runner's own process: `echo` at once, `sleep` after a while."""

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

_LONGEST_SLEEP = 86_400.0


class EchoConnection:
    """Holds nothing but whether it is closed."""

    def __init__(self) -> None:
        self._lost = asyncio.Event()

    @property
    def description(self) -> Mapping[str, Any]:
        """Name and version."""
        return {"name": "echo", "version": "1"}

    @property
    def lost(self) -> asyncio.Event:
        """Set by `close`, and by nothing else."""
        return self._lost

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        """`echo` returns its parameters, `sleep` waits for `seconds`; both as the port promises."""
        if self._lost.is_set():
            raise connection_lost("it is closed", charged=False)
        if execution.type == "echo":
            return {"echo": dict(execution.params)}
        if execution.type == "sleep":
            return await self._sleep(execution)
        raise type_unknown(execution.type, ("echo", "sleep"))

    async def close(self, grace: float) -> None:
        """End the sleeps under way; there is nothing to wait for."""
        self._lost.set()

    async def _sleep(self, execution: Execution) -> Mapping[str, Any]:
        seconds = execution.params.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise invalid_argument("params.seconds", "must be a number")
        if not 0 <= seconds <= _LONGEST_SLEEP:
            raise invalid_argument("params.seconds", f"must be between 0 and {_LONGEST_SLEEP:g}")
        try:
            await asyncio.wait_for(self._lost.wait(), min(seconds, execution.timeout))
        except TimeoutError:
            if seconds > execution.timeout:
                raise timed_out(execution.timeout) from None
            return {"slept": seconds}
        raise connection_lost("it was closed", charged=False)


class EchoExecutor:
    """Connects to nothing, always."""

    async def connect(self, session: SessionRef, connector: Connector) -> EchoConnection:
        """Return a connection at once; `connector.server` plays no partition."""
        return EchoConnection()
