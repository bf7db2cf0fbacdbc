"""The bus: a connection to the broker that comes back for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from libs.bus.backoff import backoff_seconds
from libs.bus.client import CONNECT_ERRORS, Connection, Handler

STEADY_SECONDS = 5.0  # a connection that lived shorter counts as a failure for the backoff

_log = structlog.get_logger("libs.bus")


class Listener:
    """A subscription that is made anew on every connection."""

    def __init__(self, bus: "Bus", subject: bytes, handler: Handler, queue: bytes) -> None:
        self._bus = bus
        self._subject = subject
        self._handler = handler
        self._queue = queue
        self._subscription = 0

    def attach(self, connection: Connection) -> None:
        """Subscribe on a connection that has just been made."""
        self._subscription = connection.listen(self._subject, self._handler, self._queue)

    def close(self) -> None:
        """End the subscription, here and on later connections."""
        self._bus.forget(self, self._subscription)


class Bus:
    """A connection to the broker, found again whenever it is lost.

    It may be used while the broker is away: what needs an answer then raises BusUnavailableError at once,
    hints are dropped, subscriptions take effect when the broker is there. All methods belong to the loop that
    made the bus.
    """

    def __init__(self, url: str, name: str) -> None:
        self._servers = [part.strip() for part in url.split(",")]
        self._name = name
        self._connection: Connection | None = None
        self._attached = asyncio.Event()  # wakes those who wait for a connection
        self._closing = False
        self._listeners: list[Listener] = []
        self._on_reconnect: list[Callable[[], None]] = []
        self._on_loss: list[Callable[[], None]] = []
        self._task = asyncio.create_task(self._keep_connected(), name=f"bus {name}")

    @classmethod
    async def connect(cls, url: str, name: str, *, patience_seconds: float = 2.0) -> "Bus":
        """Start connecting to `url` (several servers of one cluster: separated by commas).

        Returns when connected, or after `patience_seconds`: then it goes on trying behind the scenes.
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
        """Hold a bus while the block lasts; see `connect`."""
        bus = await cls.connect(url, name)
        try:
            yield bus
        finally:
            await bus.close()

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as is known: a half-open connection shows after 30 s."""
        return self.connection is not None

    @property
    def connection(self) -> Connection | None:
        """The live connection; it is never the same object again after a loss."""
        connection = self._connection
        return connection if connection is not None and connection.alive else None

    @property
    def task(self) -> "asyncio.Task[None]":
        """Ends only when the bus is closed; a composition root watches it like its other side tasks."""
        return self._task

    async def wait_connected(self, seconds: float | None = None) -> Connection:
        """Wait for the broker; raises TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while True:
                connection = self.connection
                if connection is not None:
                    return connection
                self._attached.clear()
                await self._attached.wait()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each later connection, once its subscriptions stand; answers how to stop that."""
        self._on_reconnect.append(callback)
        return lambda: self._on_reconnect.remove(callback)

    def on_loss(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, inside the bus, after each loss; it must not raise. Answers how to stop that."""
        self._on_loss.append(callback)
        return lambda: self._on_loss.remove(callback)

    def listen(self, subject: bytes, handler: Handler, queue: bytes = b"") -> Listener:
        """Subscribe for as long as the bus lives; the handler runs inside the reader and must not raise."""
        listener = Listener(self, subject, handler, queue)
        self._listeners.append(listener)
        if self.connection is not None:
            listener.attach(self.connection)
        return listener

    def forget(self, listener: Listener, subscription: int) -> None:
        """Drop a listener; a second time does nothing."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            if self._connection is not None:
                self._connection.unlisten(subscription)

    async def close(self, deadline_seconds: float = 5.0) -> None:
        """Let what was sent arrive, for at most `deadline_seconds`, and close. Open requests fail."""
        connection = self.connection
        if connection is not None and not await connection.synchronise(deadline_seconds):
            _log.warning("bus.closed_without_answer", name=self._name)
        self._closing = True
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            connection = Connection()
            try:
                await connection.open(self._servers, self._name)
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
            await asyncio.sleep(backoff_seconds(failures))

    def _attach(self, connection: Connection) -> None:
        """Subscriptions go out before anything else can be sent on the new connection."""
        self._connection = connection
        for listener in self._listeners:
            listener.attach(connection)
        _log.info("bus.connected", name=self._name)
        self._attached.set()
        for callback in self._on_reconnect:
            asyncio.get_running_loop().call_soon(callback)

    def _detach(self, connection: Connection) -> None:
        if self._connection is not connection:
            return
        self._connection = None
        if not self._closing:
            _log.warning("bus.disconnected", name=self._name)
        for callback in list(self._on_loss):
            callback()
