"""Notifications over core NATS: fast, never stored, and seen only by those who listen at that moment."""

import asyncio
from collections.abc import Callable

from libs.bus.client import subject_bytes
from libs.bus.connection import Bus, Listener

FLUSH_SECONDS = 2.0

NotificationHandler = Callable[[str, bytes], None]


class NotificationSubscription:
    """A subscription to a subject, repeated on every connection until `unsubscribe()`."""

    def __init__(self, bus: Bus, subject: str, handler: NotificationHandler, queue: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._active = True
        self._listener: Listener = bus.listen(
            subject_bytes(subject), self._receive, subject_bytes(queue) if queue else b""
        )

    def unsubscribe(self) -> None:
        """Stop calling the handler, even for messages that have already arrived."""
        self._active = False
        self._listener.close()

    def _receive(self, subject: bytes, _reply: bytes, _header: bytes, payload: bytes) -> None:
        # Through the event loop, which reports a handler that raises. In the reader it would end the connection.
        self._loop.call_soon(self._deliver, subject, payload)

    def _deliver(self, subject: bytes, payload: bytes) -> None:
        if self._active:
            self._handler(subject.decode(), payload)


class Notifications:
    """Publishes and receives notifications."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, subject: str, payload: bytes) -> bool:
        """Send one notification; return False if it was dropped because the broker is away or does not read.

        Raises InvalidMessageError for an invalid subject or a payload that is too large.
        """
        connection = self._bus.connection
        return connection is not None and connection.publish_frame(subject_bytes(subject), payload)

    async def subscribe(
        self, subject: str, handler: NotificationHandler, *, queue: str = ""
    ) -> NotificationSubscription:
        """Call `handler(subject, payload)` for each notification; with `queue`, one member of that group gets each.

        Returns once the broker has the subscription, so that nothing published later is missed. While the broker is
        away it returns at once and notifications are lost: use `Bus.on_reconnect` to read the current state then.
        """
        subscription = NotificationSubscription(self._bus, subject, handler, queue)
        connection = self._bus.connection
        if connection is not None:
            await connection.synchronise(FLUSH_SECONDS)
        return subscription
