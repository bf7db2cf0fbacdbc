"""Notifications over core NATS."""

from collections.abc import Awaitable, Callable

from libs.bus import Notifications
from libs.notifications import decode_notification, events_subject
from services.session.events.ports import NotificationHandler


class BusNotificationSource:
    """Where the hub hears that a log partition has grown."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    async def subscribe(
        self, tenant_id: str, partition: int, handler: NotificationHandler
    ) -> Callable[[], Awaitable[None]]:
        """Call `handler` for each hint of the partition from now on; returns what ends the subscription."""

        def receive(_: str, payload: bytes) -> None:
            handler(*decode_notification(payload))

        subscription = await self._notifications.subscribe(events_subject(tenant_id, partition), receive)

        async def end() -> None:
            subscription.unsubscribe()

        return end
