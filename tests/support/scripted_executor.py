"""An executor whose commands behave as their type says: echo, fail, hang, report."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)
from services.runner.executors.ports import Connector as ConnectorRef
from services.runner.executors.ports import (
    Execution,
    Reporter,
    SessionRef,
)


class ScriptedConnection:
    """Behaves as the type of a command says, and records every attempt."""

    def __init__(self, executor: "ScriptedExecutor") -> None:
        self._executor = executor
        self.lost = asyncio.Event()
        self.description: Mapping[str, Any] = {"name": "scripted", "version": "1"}

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        executor = self._executor
        executor.began.append((execution.command_id, execution.attempt))
        executor.running.add(execution.command_id)
        executor.most_running = max(executor.most_running, len(executor.running))
        try:
            return await self._execute(execution, report)
        finally:
            executor.running.discard(execution.command_id)
            executor.ended.append(execution.command_id)

    async def _execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        params = execution.params
        match execution.type:
            case "echo":
                return {"echo": dict(params)}
            case "big":
                return {"text": "x" * params["bytes"]}
            case "fail":
                times: int = params.get("times", 1_000)
                if execution.attempt <= times:
                    code = FailureCode(params.get("code", "TOOL_ERROR"))
                    message = params.get("message", "scripted")
                    if "escaped" in params:  # a text that a request cannot contain
                        message = params["escaped"].encode().decode("unicode_escape")
                    raise AttemptFailedError(
                        Failure(code, message, params.get("retryable", True), charged=params.get("charged", True))
                    )
                return {"attempt": execution.attempt}
            case "fault":
                raise ValueError("scripted fault")
            case "hang":
                await self._executor.gate.wait()
                return {"released": True}
            case "deaf":  # ignores cancels
                while not self._executor.gate.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await self._executor.gate.wait()
                return {"deaf": True}
            case "progress":
                for step in range(params["steps"]):
                    report.progress(step + 1, params["steps"], f"step {step + 1}")
                    report.output({"line": step})
                    await asyncio.sleep(params.get("pause", 0))
                return {"steps": params["steps"]}
            case other:
                raise AssertionError(other)

    async def close(self, grace: float) -> None:
        self._executor.closed += not self.lost.is_set()
        self.lost.set()
        await self._executor.closes.wait()


class ScriptedExecutor:
    """An executor for tests. `gate` releases hanging commands; `closes` (set at first) lets closing connections end."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.running: set[str] = set()
        self.most_running = 0
        self.gate = asyncio.Event()
        self.closes = asyncio.Event()
        self.closes.set()
        self.opened = 0
        self.closed = 0
        self.refuse: Failure | None = None

    async def connect(self, session: SessionRef, connector: ConnectorRef) -> ScriptedConnection:
        if self.refuse is not None:
            raise AttemptFailedError(self.refuse)
        self.opened += 1
        return ScriptedConnection(self)
