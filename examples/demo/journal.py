"""Follows the work stream of the session: keeps the events, shows them, and waits for them."""

import asyncio
from collections.abc import Callable

from callboard import Client
from callboard.types import Event

_PATIENCE_SECONDS = 20


class Journal:
    """Follows one session in the background, from its first event to its last."""

    def __init__(self, client: Client, session_id: str, show: Callable[[Event], None]) -> None:
        self.events: list[Event] = []
        self._show = show
        self._changed = asyncio.Condition()
        self._following = asyncio.create_task(self._follow(client, session_id), name="journal")

    async def _follow(self, client: Client, session_id: str) -> None:
        try:
            async for event in client.follow(session_id=session_id):
                self.events.append(event)
                self._show(event)
                async with self._changed:
                    self._changed.notify_all()
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def until(self, *types: str, command_id: str = "") -> Event:
        """Wait for the first event of one of these types, of the given command if there is one, and return it."""
        seen = 0
        async with asyncio.timeout(_PATIENCE_SECONDS), self._changed:
            while True:
                for event in self.events[seen:]:
                    if event.type in types and event.command_id in (command_id or event.command_id,):
                        return event
                seen = len(self.events)
                if self._following.done():
                    self._following.result()
                    raise LookupError(f"the stream ended without {' or '.join(types)}")
                await self._changed.wait()

    async def ended(self) -> None:
        """Wait until the stream ends by itself, after the session's last event."""
        await asyncio.wait_for(asyncio.shield(self._following), _PATIENCE_SECONDS)

    async def close(self) -> None:
        """Stop following."""
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
