"""Receives notifications of new events over core NATS."""

from collections.abc import Awaitable, Callable

from libs.bus import Notifications
from libs.notifications import decode_notification, events_subject
from services.session.events.ports import NotificationHandler


class BusNotificationSource:
    """Tells the hub when a log partition has grown."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    async def subscribe(
        self, tenant_id: str, partition: int, handler: NotificationHandler
    ) -> Callable[[], Awaitable[None]]:
        """Call `handler` for each notification of the partition. Returns a function that ends the subscription."""

        def receive(_: str, payload: bytes) -> None:
            handler(*decode_notification(payload))

        subscription = await self._notifications.subscribe(events_subject(tenant_id, partition), receive)

        async def end() -> None:
            subscription.unsubscribe()

        return end
