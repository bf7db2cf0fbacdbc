"""Hints over core NATS."""

from collections.abc import Awaitable, Callable

from libs.bus import Hints
from libs.signals import decode_hint, events_subject
from services.session.ports.hints import HintHandler


class BusHints:
    """Where the hub hears that a log partition has grown."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints

    async def subscribe(self, tenant_id: str, part: int, handler: HintHandler) -> Callable[[], Awaitable[None]]:
        """Call `handler` for each hint of the partition from now on; returns what ends the subscription."""

        def receive(_: str, payload: bytes) -> None:
            handler(*decode_hint(payload))

        subscription = await self._hints.subscribe(events_subject(tenant_id, part), receive)

        async def end() -> None:
            subscription.unsubscribe()

        return end
