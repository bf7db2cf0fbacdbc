"""Calls of clients. Each is recorded, and retried with the same key while its outcome is unknown."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from callboard import CallboardError
from libs.rpc.stubs import Stubs
from tests.chaos.journal import Operations

CALL_SECONDS = 8.0
_UNKNOWN = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL,
}  # fmt: skip
_AGAIN = {"IDEMPOTENCY_KEY_IN_USE", "SESSION_STOPPING", "RATE_LIMITED"}
Answer = TypeVar("Answer")


@dataclass
class Caller:
    """Calls random replicas. `draw` makes the choices that a repeated run need not repeat."""

    clients: list[Stubs]
    operations: Operations
    draw: random.Random

    async def once(
        self,
        kind: str,
        call: Callable[[Stubs], Awaitable[Answer]],
        describe: Callable[[Answer], dict[str, Any]],
        **fields: Any,
    ) -> tuple[str, Answer | None]:
        """Call once. Returns `ok`, `fail`, `again` (rejected for now) or `info` (unknown), and the answer."""
        number = self.operations.invoke(kind, **fields)
        try:
            answer = await call(self.draw.choice(self.clients))
        except CallboardError as error:
            unknown = error.code in _UNKNOWN
            phase = "info" if unknown else "fail"
            self.operations.complete(number, kind, phase, code=error.code.name, reason=error.reason, text=error.message)
            return ("again" if error.reason in _AGAIN else phase), None
        except asyncio.CancelledError:
            self.operations.complete(number, kind, "info", code="GIVEN_UP", reason="")
            raise
        self.operations.complete(number, kind, "ok", **describe(answer))
        return "ok", answer

    async def until_known(
        self, kind: str, call: Callable[[Stubs], Awaitable[Answer]], describe: Callable[[Answer], dict[str, Any]],
        *, tries: int = 30, **fields: Any,
    ) -> tuple[str, Answer | None]:  # fmt: skip
        """Call with the same key until the outcome is known. Returns `info` or `again` if it stays unknown."""
        phase, wait = "info", 0.05
        answer: Answer | None = None
        for _ in range(tries):
            outcome = await self.once(kind, call, describe, **fields)
            phase, answer = outcome
            if phase in ("ok", "fail"):
                break
            await asyncio.sleep(self.draw.uniform(0, wait))
            wait = min(2.0, wait * 2)
        return phase, answer
