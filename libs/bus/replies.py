"""Requests and their replies, with one inbox and one timer for all."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Generic, TypeVar

from libs.bus.connection import Bus
from libs.bus.errors import BusError, BusUnavailableError

REPLY_SECONDS = 5.0

Answer = TypeVar("Answer")


def new_inbox() -> bytes:
    """Return a reply subject that nobody else uses or can guess."""
    return b"_INBOX." + secrets.token_hex(11).encode()


class Replies(Generic[Answer]):
    """Sends requests and completes a future for each.

    `decode(header, payload)` returns the future's result or raises its BusError. Each future completes within
    REPLY_SECONDS, and at once when the connection is lost. Then `on_settled()` is called.
    """

    def __init__(
        self, bus: Bus, decode: Callable[[bytes, bytes], Answer], on_settled: Callable[[], None] | None = None
    ) -> None:
        self._bus = bus
        self._decode = decode
        self._on_settled = on_settled
        self._loop = asyncio.get_running_loop()
        self._prefix = new_inbox() + b"."
        self._count = 0
        # All requests have the same timeout, so insertion order is the order of their deadlines.
        self._waiting: dict[bytes, tuple[float, asyncio.Future[Answer]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        bus.listen(self._prefix + b"*", self._receive)
        bus.on_loss(self._fail_all)

    def __len__(self) -> int:
        return len(self._waiting)

    def request(self, subject: bytes, payload: bytes, header: bytes = b"") -> "asyncio.Future[Answer]":
        """Send a request.

        Raises BusUnavailableError if the broker is away, InvalidMessageError for a payload above its limit.
        """
        connection = self._bus.connection
        self._count += 1
        token = b"%d" % self._count
        if connection is None or not connection.publish_frame(subject, payload, self._prefix + token, header):
            raise BusUnavailableError("the broker is away, or does not read")
        future: asyncio.Future[Answer] = self._loop.create_future()
        deadline = self._loop.time() + REPLY_SECONDS
        self._waiting[token] = (deadline, future)
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        return future

    def _receive(self, subject: bytes, _reply: bytes, header: bytes, payload: bytes) -> None:
        found = self._waiting.pop(subject[len(self._prefix) :], None)
        if found is None:  # too late: the future has failed already
            return
        future = found[1]
        if not future.done():
            try:
                future.set_result(self._decode(header, payload))
            except BusError as error:
                future.set_exception(error)
        self._settled()

    def _expire(self) -> None:
        """Fail the requests that are overdue, and set the timer for the oldest that remains."""
        self._timer = None
        now = self._loop.time()
        for token, (deadline, _) in list(self._waiting.items()):
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._expire)
                break
            self._fail(token, f"no answer in {REPLY_SECONDS:g} s")
        self._settled()

    def _fail_all(self) -> None:
        for token in list(self._waiting):
            self._fail(token, "the connection was lost before the answer")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._settled()

    def _fail(self, token: bytes, problem: str) -> None:
        future = self._waiting.pop(token)[1]
        if not future.done():
            future.set_exception(BusUnavailableError(problem))

    def _settled(self) -> None:
        if self._on_settled is not None:
            self._on_settled()
