"""The result of a statement that appends events."""

from dataclasses import dataclass

from libs.notifications.notifier import Notifier


@dataclass(slots=True)
class Appended:
    """The positions of the appended events, None if there are none, and the events as lines if they are small."""

    first_position: int | None
    last_position: int | None
    notification: str | None

    def announce(self, notifier: Notifier, tenant_id: str, partition: int) -> None:
        """Notify the readers of the partition, if anything was appended."""
        if self.first_position is not None and self.last_position is not None:
            notifier.appended(tenant_id, partition, self.first_position, self.last_position, self.notification)
