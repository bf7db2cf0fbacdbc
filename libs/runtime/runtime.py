"""A database, the bus, background tasks and metrics, for the life of a process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from libs.bus import Bus, Notifications
from libs.db import Database
from libs.notifications import BusNotifier
from libs.runtime.settings import RuntimeSettings
from libs.telemetry.metrics import MetricsServer, new_registry
from libs.telemetry.readings import Readings
from libs.telemetry.tasks import TaskWatch

_Resource = TypeVar("_Resource")


class Runtime:
    """What a service is built on. Whatever is opened on it is closed in reverse order at the end of its block."""

    def __init__(
        self, settings: RuntimeSettings, database: Database, bus: Bus, tasks: TaskWatch, stack: AsyncExitStack
    ) -> None:
        self.settings = settings
        self.database = database
        self.bus = bus
        self.tasks = tasks
        self.notifications = Notifications(bus)
        self.notifier = BusNotifier(self.notifications)
        self.registry = new_registry()
        self.readings = Readings(self.registry)
        self._stack = stack

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: RuntimeSettings, *, name: str, role: str) -> AsyncIterator["Runtime"]:
        """Open the connections to the database, which act as `role`, and to the bus. Both know the process by `name`.

        Neither has to be there yet.
        """
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                Database.opened(
                    settings.database_url.get_secret_value(), role=role, name=name, size=settings.database_connections
                )
            )
            bus = await stack.enter_async_context(Bus.opened(settings.nats_url.get_secret_value(), name))
            tasks = await stack.enter_async_context(TaskWatch())
            yield cls(settings, database, bus, tasks, stack)

    async def open(self, resource: AbstractAsyncContextManager[_Resource]) -> _Resource:
        """Open a resource until the end of the block."""
        return await self._stack.enter_async_context(resource)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` at the end of the block, before what was opened until now is closed."""
        self._stack.callback(callback)

    async def subscribe(self, subject: str, wake: Callable[[], None]) -> None:
        """Call `wake` at each notification on a subject."""
        subscription = await self.notifications.subscribe(subject, lambda *_: wake())
        self.on_close(subscription.unsubscribe)

    async def expose_metrics(self, is_healthy: Callable[[], bool]) -> None:
        """Serve the metrics, and the health of the process."""
        await self.open(
            MetricsServer(self.registry, is_healthy, port=self.settings.metrics_port, host=self.settings.host)
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Expose metrics until `stop` is set. Raises TaskDiedError if a background task dies."""
        await self.expose_metrics(lambda: not self.tasks.failed.done())
        await self.tasks.until(stop)
