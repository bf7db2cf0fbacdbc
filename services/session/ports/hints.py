"""Where the hub hears that a log partition has grown."""

from collections.abc import Awaitable, Callable
from typing import Protocol

HintHandler = Callable[[int, int, bytes], None]
"""Called with the first and last position appended, and the events as lines (empty when they did not travel)."""


class HintSource(Protocol):
    """Hints may be lost, repeated and out of order; nothing may rest on them but speed."""

    async def subscribe(self, tenant_id: str, part: int, handler: HintHandler) -> Callable[[], Awaitable[None]]:
        """Call `handler` for each hint of the partition from now on; returns what ends the subscription."""
