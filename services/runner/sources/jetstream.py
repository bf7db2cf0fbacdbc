"""The JetStream command source: one pull loop for each priority, and wake-ups over core NATS."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from libs.bus import Bus, Delivery, Notifications, NotificationSubscription, PullLoop, Streams
from libs.dispatches import COMMANDS, PRIORITIES, decode_dispatch, runner_consumer
from libs.notifications import CONNECTIONS_WANTED, runner_subject
from services.runner.sources.ports import CommandSink, DeliveredCommand

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class BatchAcknowledgement:
    """Acknowledges one delivery once the claim of every command in it is decided (failures, row 24)."""

    delivery: Delivery
    open: int

    def settle(self) -> None:
        """Mark one command as decided, and acknowledge the delivery after the last one."""
        self.open -= 1
        if not self.open:
            self.delivery.ack()


class JetStreamSource:
    """Delivers what is dispatched to one runner. The runner has its own consumer for each priority."""

    def __init__(self, bus: Bus, runner_id: UUID) -> None:
        self._bus = bus
        self._runner_id = runner_id
        self._streams = Streams(bus)
        self._notifications = Notifications(bus)
        self._subscriptions: list[NotificationSubscription] = []
        self._pulls: list[PullLoop] = []

    async def open(self, sink: CommandSink) -> None:
        """Subscribe to wake-ups. Deliveries start with `run`."""
        wake_ups: dict[str, Callable[[], None]] = {
            runner_subject(self._runner_id): sink.instructed,
            CONNECTIONS_WANTED: sink.connections_wanted,
        }
        for subject, wake_up in wake_ups.items():
            subscription = await self._notifications.subscribe(subject, lambda *_, wake_up=wake_up: wake_up())
            self._subscriptions.append(subscription)
        self._pulls = [self._pull(sink, priority) for priority in PRIORITIES]

    async def run(self) -> None:
        """Deliver commands while the runner has room, until cancelled or stopped."""
        async with asyncio.TaskGroup() as group:
            for priority, pull in zip(PRIORITIES, self._pulls, strict=True):
                group.create_task(pull.run(), name=f"pull {priority}")

    def wake(self) -> None:
        """Continue to deliver: the runner has room again."""
        for pull in self._pulls:
            pull.wake()

    def stop(self) -> None:
        """Stop delivering."""
        for pull in self._pulls:
            pull.stop()

    async def close(self) -> None:
        """Unsubscribe, and delete this runner's consumers if the broker is connected."""
        for subscription in self._subscriptions:
            subscription.unsubscribe()
        names = [runner_consumer(self._runner_id, priority).name for priority in PRIORITIES]
        if self._bus.connected:
            await asyncio.gather(
                *(self._streams.delete_consumer(COMMANDS.name, name) for name in names), return_exceptions=True
            )

    def _pull(self, sink: CommandSink, priority: int) -> PullLoop:
        spec = runner_consumer(self._runner_id, priority)

        async def ensure() -> None:
            await self._streams.ensure_consumer(spec)

        return PullLoop(
            self._bus,
            COMMANDS.name,
            spec.name,
            free_slots=lambda: sink.room(priority),
            on_message=lambda delivery: self._receive(sink, delivery),
            ensure=ensure,
        )

    def _receive(self, sink: CommandSink, delivery: Delivery) -> None:
        try:
            tenant_id, priority, partition, pairs = decode_dispatch(delivery.subject, delivery.payload)
        except ValueError:  # a redelivery would not be readable either (failures, row 9)
            _log.warning("dispatch_unreadable", subject=delivery.subject)
            delivery.term("unreadable")
            return
        if not pairs:
            delivery.ack()
        acknowledgement = BatchAcknowledgement(delivery, len(pairs))
        for command_id, _ in pairs:
            sink.deliver(priority, DeliveredCommand(tenant_id, partition, command_id, acknowledgement))
