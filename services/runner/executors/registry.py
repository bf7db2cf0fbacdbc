"""Selects the executor for a connector's kind."""

from collections.abc import Mapping

from libs.attempts import FailureCode
from services.runner.executors.failures import failed
from services.runner.executors.ports import (
    Connection,
    Connector,
    Executor,
    SessionRef,
)


class ExecutorRegistry:
    """An `Executor` that delegates to one executor for each kind of connector."""

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._executors = dict(executors)

    def kinds(self) -> tuple[str, ...]:
        """Return all kinds that a connector may name, sorted."""
        return tuple(sorted(self._executors))

    async def connect(self, session: SessionRef, connector: Connector) -> Connection:
        """Connect through the executor of `connector.kind`. An unknown kind is AGENT_UNAVAILABLE."""
        executor = self._executors.get(connector.kind)
        if executor is None:
            known = ", ".join(self.kinds()) or "none"
            raise failed(
                FailureCode.AGENT_UNAVAILABLE,
                f"this runner has no executor of kind {connector.kind!r}; it has {known}",
                kind=connector.kind,
            )
        return await executor.connect(session, connector)
