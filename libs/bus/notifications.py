"""Notifications over core NATS: fast, to whoever listens now, never stored."""

import asyncio
from collections.abc import Callable

from libs.bus.client import subject_bytes
from libs.bus.connection import Bus, Listener

FLUSH_SECONDS = 2.0

NotificationHandler = Callable[[str, bytes], None]


class NotificationSubscription:
    """Interest in a subject, until `unsubscribe()`; it is renewed on every connection."""

    def __init__(self, bus: Bus, subject: str, handler: NotificationHandler, queue: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._active = True
        self._listener: Listener = bus.listen(
            subject_bytes(subject), self._receive, subject_bytes(queue) if queue else b""
        )

    def unsubscribe(self) -> None:
        """Call the handler no more, not even for what has already arrived."""
        self._active = False
        self._listener.close()

    def _receive(self, subject: bytes, _reply: bytes, _header: bytes, payload: bytes) -> None:
        # Through the loop: a handler that raises is reported by it and does not end everyone's connection.
        self._loop.call_soon(self._deliver, subject, payload)

    def _deliver(self, subject: bytes, payload: bytes) -> None:
        if self._active:
            self._handler(subject.decode(), payload)


class Notifications:
    """Publishes and receives hints."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, subject: str, payload: bytes) -> bool:
        """Send and forget; False when it was dropped because the broker is away or does not read.

        Raises InvalidMessageError for a bad subject or too large a payload, which are the caller's mistakes.
        """
        connection = self._bus.connection
        return connection is not None and connection.publish_frame(subject_bytes(subject), payload)

    async def subscribe(
        self, subject: str, handler: NotificationHandler, *, queue: str = ""
    ) -> NotificationSubscription:
        """Call `handler(subject, payload)` for each hint; with `queue`, one member of that group gets each.

        Returns when the broker has it, so that nothing published afterwards is missed; while the broker is
        away, at once. Notifications are missed while it is away: `Bus.on_reconnect` tells when to look at the truth.
        """
        subscription = NotificationSubscription(self._bus, subject, handler, queue)
        connection = self._bus.connection
        if connection is not None:
            await connection.synchronise(FLUSH_SECONDS)
        return subscription
