"""One connection to the broker: nats-py's handshake, TLS, authentication and pings, with our own reading and writing.

This is the only module that uses private parts of nats-py. `tests/unit/test_bus_client.py` lists them.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable

import structlog
from nats.aio.client import Client as NatsClient
from nats.errors import Error as NatsError

from libs.bus.errors import InvalidMessageError
from libs.bus.frames import FrameParser

CONNECT_SECONDS = 2
PING_SECONDS = 10
UNANSWERED_PINGS = 2  # a half-open connection counts as lost after 30 s
UNSENT_BYTES = 8 * 1024 * 1024  # the most that is kept for a broker that does not read

# (subject, reply subject or b"", header block or b"", payload)
Handler = Callable[[bytes, bytes, bytes, bytes], None]

_LINE_BREAKING = re.compile(r"[\s\x00]")
_log = structlog.get_logger("libs.bus")


def subject_bytes(subject: str) -> bytes:
    """Encode a subject; raises InvalidMessageError for one that could inject protocol lines."""
    if not subject or _LINE_BREAKING.search(subject):
        raise InvalidMessageError(f"not a subject: {subject!r}")
    return subject.encode()


class NatsConnection(NatsClient):
    """A connection that is used once: after a loss, a new object replaces it.

    It keeps nothing for a broker that is away. What cannot be written now is dropped, so that no old
    acknowledgement, pull request or message reaches a broker that has lost the stream it belongs to.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ps = FrameParser(self, self._dispatch)
        self._handlers: dict[int, Handler] = {}
        self._unsent: list[bytes] = []
        self._unsent_size = 0
        self._loop = asyncio.get_running_loop()

    async def open(self, servers: list[str], name: str) -> None:
        """Connect to one of the servers; raises OSError, TimeoutError or nats-py's Error."""
        await self.connect(
            servers,
            name=name,
            error_cb=self._log_error,
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            max_reconnect_attempts=1,  # each server twice; the caller decides when to try again
            reconnect_time_wait=0,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=UNANSWERED_PINGS,
        )

    @staticmethod
    async def _log_error(error: Exception) -> None:
        _log.debug("bus.connection_error", error=repr(error))

    @property
    def alive(self) -> bool:
        """Whether the connection is up, as far as is known."""
        return self._status == NatsClient.CONNECTED and self._reading_task is not None and not self._reading_task.done()

    async def ended(self) -> None:
        """Wait until the connection is lost, for whatever reason.

        nats-py's closed callback does not serve for this: nats-py omits it when closing fails, and when an error ends
        its reader.
        """
        if self._reading_task is not None:
            await asyncio.wait([self._reading_task])

    def listen(self, subject: bytes, handler: Handler, queue: bytes = b"") -> int:
        """Subscribe and return the subscription's id.

        The handler runs in the reader: it must be short and must not raise.
        """
        self._sid += 1
        self._handlers[self._sid] = handler
        self.send(b"SUB %b %b %d\r\n" % (subject, queue, self._sid))
        return self._sid

    def unlisten(self, subscription: int) -> None:
        """End a subscription. Messages that still arrive for it are dropped."""
        if self._handlers.pop(subscription, None) is not None:
            self.send(b"UNSUB %d\r\n" % subscription)

    def publish_frame(self, subject: bytes, payload: bytes, reply: bytes = b"", header: bytes = b"") -> bool:
        """Write one message; return False if it was dropped because the broker is away or does not read.

        Raises InvalidMessageError above the broker's `max_payload`: the broker would end the connection.
        """
        size = len(header) + len(payload)
        if size > self._max_payload:
            raise InvalidMessageError(f"{size} bytes are above the broker's limit of {self._max_payload}")
        if header:
            line = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, len(header), size, header, payload)
        else:
            line = b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, size, payload)
        return self.send(line)

    def send(self, line: bytes) -> bool:
        """Write one line together with all others of this turn of the event loop; return False if it was dropped."""
        if not self.alive or self._unsent_size + self._buffered() > UNSENT_BYTES:
            return False
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent.append(line)
        self._unsent_size += len(line)
        return True

    def _buffered(self) -> int:
        """Return how many bytes wait in the transport for the broker to read."""
        writer = getattr(self._transport, "_io_writer", None)
        return writer.transport.get_write_buffer_size() if writer is not None else 0

    def _write(self) -> None:
        line = b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_size = 0
        if line and self.alive and self._transport is not None:
            with contextlib.suppress(OSError, RuntimeError):  # just closed: the reader ends the connection
                self._transport.write(line)

    def _dispatch(self, subscription: int, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        handler = self._handlers.get(subscription)
        if handler is not None:
            handler(subject, reply, header, payload)

    async def synchronise(self, seconds: float) -> bool:
        """Wait until the broker has read everything sent so far; return False if it does not confirm that in time."""
        if not self.alive or self._reading_task is None:
            return False
        pong: asyncio.Future[bool] = self._loop.create_future()
        self._pongs.append(pong)
        self.send(b"PING\r\n")
        # Never cancel the pong: nats-py sets its result without a check, and that would end its reader.
        await asyncio.wait([pong, self._reading_task], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return pong.done()

    async def abandon(self) -> None:
        """Drop the socket and nats-py's tasks at once, whatever the broker does."""
        self._unsent.clear()
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()  # a graceful close would wait for a broker that does not read
        tasks = [
            task for task in (self._reading_task, self._ping_interval_task, self._flusher_task) if task is not None
        ]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._status = NatsClient.CLOSED
        self._handlers.clear()


CONNECT_ERRORS = (OSError, TimeoutError, NatsError)
