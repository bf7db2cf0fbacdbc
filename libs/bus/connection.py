"""The bus: a connection to the broker that is restored whenever it is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from libs.bus.backoff import backoff_seconds
from libs.bus.client import CONNECT_ERRORS, Handler, NatsConnection

STEADY_SECONDS = 5.0  # a connection that ends sooner counts as a failure

_log = structlog.get_logger("libs.bus")


class Listener:
    """A subscription that is repeated on every new connection."""

    def __init__(self, bus: "Bus", subject: bytes, handler: Handler, queue: bytes) -> None:
        self._bus = bus
        self._subject = subject
        self._handler = handler
        self._queue = queue
        self._subscription = 0

    def attach(self, connection: NatsConnection) -> None:
        """Subscribe on a new connection."""
        self._subscription = connection.listen(self._subject, self._handler, self._queue)

    def close(self) -> None:
        """End the subscription on this connection and do not repeat it."""
        self._bus.forget(self, self._subscription)


class Bus:
    """A connection to the broker that is restored whenever it is lost.

    It can be used while the broker is away. Requests then raise BusUnavailableError at once, notifications are
    dropped, and subscriptions take effect once the broker is back. Call all methods in the event loop that
    created the bus.
    """

    def __init__(self, url: str, name: str) -> None:
        self._servers = [part.strip() for part in url.split(",")]
        self._name = name
        self._connection: NatsConnection | None = None
        self._attached = asyncio.Event()  # wakes those who wait for a connection
        self._closing = asyncio.Event()
        self._listeners: list[Listener] = []
        self._on_reconnect: list[Callable[[], None]] = []
        self._on_loss: list[Callable[[], None]] = []
        self._task = asyncio.create_task(self._keep_connected(), name=f"bus {name}")

    @classmethod
    async def connect(cls, url: str, name: str, *, patience_seconds: float = 2.0) -> "Bus":
        """Connect to `url`; commas separate several servers of one cluster.

        Returns when connected, or after `patience_seconds`. In the latter case the bus keeps trying.
        """
        bus = cls(url, name)
        try:
            await bus.wait_connected(patience_seconds)
        except TimeoutError:
            _log.warning("bus.away_at_start", name=name)
        except asyncio.CancelledError:
            await bus.close(deadline_seconds=0)
            raise
        return bus

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, name: str) -> AsyncIterator["Bus"]:
        """Connect as `connect` does, and close the bus at the end of the block."""
        bus = await cls.connect(url, name)
        try:
            yield bus
        finally:
            await bus.close()

    @property
    def connected(self) -> bool:
        """Whether the bus is connected. It takes 30 s to notice a half-open connection."""
        return self.connection is not None

    @property
    def connection(self) -> NatsConnection | None:
        """The connection if it is up. After a loss it is a new object."""
        connection = self._connection
        return connection if connection is not None and connection.alive else None

    @property
    def task(self) -> "asyncio.Task[None]":
        """The task that keeps the bus connected. It ends only when the bus is closed."""
        return self._task

    async def wait_connected(self, seconds: float | None = None) -> NatsConnection:
        """Wait for the broker; raises TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while True:
                connection = self.connection
                if connection is not None:
                    return connection
                self._attached.clear()
                await self._attached.wait()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each reconnection, once all subscriptions are repeated.

        Returns a function that stops it.
        """
        self._on_reconnect.append(callback)
        return lambda: self._on_reconnect.remove(callback)

    def on_loss(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback`, which must not raise, after each loss of the connection.

        Returns a function that stops it.
        """
        self._on_loss.append(callback)
        return lambda: self._on_loss.remove(callback)

    def listen(self, subject: bytes, handler: Handler, queue: bytes = b"") -> Listener:
        """Subscribe on this and all later connections. The handler runs in the reader and must not raise."""
        listener = Listener(self, subject, handler, queue)
        self._listeners.append(listener)
        if self.connection is not None:
            listener.attach(self.connection)
        return listener

    def forget(self, listener: Listener, subscription: int) -> None:
        """End a listener's subscription. Does nothing the second time."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            if self._connection is not None:
                self._connection.unlisten(subscription)

    async def close(self, deadline_seconds: float = 5.0) -> None:
        """Wait at most `deadline_seconds` until the broker has read everything, then close. Open requests fail."""
        connection = self.connection
        if connection is not None and not await connection.synchronise(deadline_seconds):
            _log.warning("bus.closed_without_answer", name=self._name)
        self._closing.set()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._closing.is_set():  # Python 3.11's wait_for, inside `open`, may lose the cancellation of `close`
            connection = NatsConnection()
            try:
                await connection.open(self._servers, self._name)
                if self._closing.is_set():
                    return
                self._attach(connection)
                since = loop.time()
                await connection.ended()
                failures = 0 if loop.time() - since > STEADY_SECONDS else failures + 1
            except CONNECT_ERRORS as error:
                failures += 1
                if failures == 1:
                    _log.warning("bus.cannot_connect", name=self._name, error=repr(error))
            finally:
                self._detach(connection)
                await connection.abandon()
            if not self._closing.is_set():
                await asyncio.sleep(backoff_seconds(failures))

    def _attach(self, connection: NatsConnection) -> None:
        """Repeat all subscriptions before anything else is sent on a new connection."""
        self._connection = connection
        for listener in self._listeners:
            listener.attach(connection)
        _log.info("bus.connected", name=self._name)
        self._attached.set()
        for callback in self._on_reconnect:
            asyncio.get_running_loop().call_soon(callback)

    def _detach(self, connection: NatsConnection) -> None:
        if self._connection is not connection:
            return
        self._connection = None
        if not self._closing.is_set():
            _log.warning("bus.disconnected", name=self._name)
        for callback in list(self._on_loss):
            callback()
