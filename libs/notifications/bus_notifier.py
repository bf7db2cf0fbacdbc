"""Sends notifications over core NATS."""

from uuid import UUID

from libs.bus import Notifications
from libs.notifications.subjects import (
    COMMANDS_WAITING,
    CONNECTIONS_WANTED,
    SESSIONS_CLOSING,
    encode_notification,
    events_subject,
    runner_subject,
)


class BusNotifier:
    """Announces what was committed. Readers also poll slowly, in case a notification is lost."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def appended(self, tenant_id: str, partition: int, first: int, last: int, lines: str | None) -> None:
        """Announce new positions of a partition, with the events if they are small."""
        self._notifications.publish(events_subject(tenant_id, partition), encode_notification(first, last, lines))

    def runner_has_work(self, runner_id: UUID) -> None:
        """Announce to a runner that it has something to do."""
        self._notifications.publish(runner_subject(runner_id), b"")

    def connections_wanted(self) -> None:
        """Announce that a session needs a connection."""
        self._notifications.publish(CONNECTIONS_WANTED, b"")

    def commands_waiting(self) -> None:
        """Announce that commands may be ready for dispatch."""
        self._notifications.publish(COMMANDS_WAITING, b"")

    def sessions_closing(self) -> None:
        """Announce that a session has to be closed."""
        self._notifications.publish(SESSIONS_CLOSING, b"")
