"""One round of pulling: an inbox on one connection, until something ends it."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from libs.bus.client import NatsConnection
from libs.bus.delivery import Delivery
from libs.bus.pull_requests import PullRequests
from libs.bus.replies import new_inbox
from libs.bus.specs import nanoseconds

_HEARTBEAT, _EXPIRED = b"100", b"408"
_STATUS = slice(len(b"NATS/1.0 "), len(b"NATS/1.0 100"))
_UNDELIVERED = re.compile(rb"Nats-Pending-Messages: *(\d+)")


@dataclass(frozen=True, slots=True)
class PullTimings:
    """The time limits of a pull loop, in seconds."""

    expires: float = 5.0  # how long a request stays open at the broker
    heartbeat: float = 2.0  # how often the broker shows that it is alive, at most half of `expires`
    silence: float = 10.0  # longer than both: the broker has lost our request or cannot reach us
    check: float = 1.0  # how often the loop checks for silence


DEFAULT_TIMINGS = PullTimings()


class PullRound:
    """Requests as many messages as there are free slots, and passes on what arrives."""

    def __init__(
        self,
        connection: NatsConnection,
        next_subject: bytes,
        *,
        free_slots: Callable[[], int],
        on_message: Callable[[Delivery], None],
        timings: PullTimings,
    ) -> None:
        self._connection = connection
        self._next_subject = next_subject
        self._free_slots = free_slots
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._inbox = new_inbox()
        self._timings = timings
        self._request = b'{"batch":%%d,"expires":%d,"idle_heartbeat":%d}' % (
            nanoseconds(timings.expires),
            nanoseconds(timings.heartbeat),
        )
        self._requests = PullRequests(timings.expires + timings.silence)
        self._heard_at = 0.0
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._waking = False
        self.was_served = False  # whether the broker served a request, so the consumer existed

    async def run(self) -> str:
        """Pull until the connection is lost, the consumer is gone or the broker is silent; return which of them."""
        subscription = self._connection.listen(self._inbox, self._receive)
        try:
            while not self._over.done():
                self._check()
                await asyncio.wait([self._over], timeout=self._timings.check)
        finally:
            self._connection.unlisten(subscription)
            if not self._over.done():
                self._over.cancel()
        return self._over.result()

    def end(self, reason: str) -> None:
        """End the round."""
        if not self._over.done():
            self._over.set_result(reason)

    def wake(self) -> None:
        """Request more at the end of this turn of the event loop, if slots are free."""
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._ask)

    def _check(self) -> None:
        """Look for what no callback reports: a request that was dropped, or a silent broker."""
        now = self._loop.time()
        if not self._connection.alive:
            self.end("connection lost")
        elif self._requests.outstanding and now - self._heard_at > self._timings.silence:
            self.end("silence")
        else:
            self._requests.forget_expired(now)
            self._ask()

    def _ask(self) -> None:
        self._waking = False
        batch = 0 if self._over.done() else self._requests.shortfall(self._free_slots())
        if not batch:
            return
        if not self._connection.publish_frame(self._next_subject, self._request % batch, self._inbox):
            return  # the next check tries again
        now = self._loop.time()
        if not self._requests.outstanding:
            self._heard_at = now  # silence counts from here: no request was open before
        self._requests.requested(batch, now)

    def _receive(self, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        # Through the event loop, which reports a handler that raises. In the reader it would end the connection.
        if reply:
            self._loop.call_soon(self._deliver, subject, reply, payload)
        else:
            self._loop.call_soon(self._status, header)

    def _deliver(self, subject: bytes, reply: bytes, payload: bytes) -> None:
        self._heard_at = self._loop.time()
        self.was_served = True
        self._requests.received()
        try:
            self._on_message(Delivery(self._connection, subject, reply, payload))
        finally:
            self._ask()

    def _status(self, header: bytes) -> None:
        self._heard_at = self._loop.time()
        status = header[_STATUS]
        if status == _HEARTBEAT:
            self.was_served = True
        elif status == _EXPIRED:
            self.was_served = True
            undelivered = _UNDELIVERED.search(header)
            self._requests.returned(int(undelivered[1]) if undelivered else 0)
            self._ask()
        else:  # 503: no such consumer; 409: deleted, leader moved, shutting down; 400: bad request
            self.end(header[_STATUS.start :].partition(b"\r\n")[0].decode())
