"""Pulls the messages of a durable consumer, whatever happens to the broker.

nats-py's `fetch` hangs when the broker restarts, and its batches sometimes stall. This loop keeps one inbox, requests
as many messages as there are free slots, and starts over when the broker is silent or reports that the consumer is
gone (failures, row 19).
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from libs.bus.api import name_token
from libs.bus.backoff import backoff_seconds
from libs.bus.connection import Bus
from libs.bus.delivery import Delivery
from libs.bus.errors import BusError
from libs.bus.pull_round import DEFAULT_TIMINGS, PullRound, PullTimings

HAND_BACK_SECONDS = 0.001

_log = structlog.get_logger("libs.bus")


class PullLoop:
    """Delivers the messages of one consumer, each at least once.

    `free_slots()` returns how many messages may arrive now. `on_message` takes one message and must not block. If it
    raises, the event loop's exception handler gets the exception, and the broker delivers the message again after
    `ack_wait`. `ensure()` creates stream and consumer. The loop awaits it at the start, after each reconnection and
    when one of them is missing. It retries with backoff while `ensure()` raises a BusError. Any other exception ends
    `run()`.

    A request stays open for 5 s. If the number of free slots falls for another reason than a delivery, up to as many
    messages as were requested before can still arrive.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        consumer: str,
        *,
        free_slots: Callable[[], int],
        on_message: Callable[[Delivery], None],
        ensure: Callable[[], Awaitable[None]],
        timings: PullTimings = DEFAULT_TIMINGS,
    ) -> None:
        self._bus = bus
        self._name = f"{name_token(stream)}/{name_token(consumer)}"
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}".encode()
        self._free_slots = free_slots
        self._on_message = on_message
        self._ensure = ensure
        self._timings = timings
        self._stopped = asyncio.Event()
        self._round: PullRound | None = None

    def wake(self) -> None:
        """Tell the loop that slots are free. All calls in one turn of the event loop lead to one request."""
        if self._round is not None:
            self._round.wake()

    def stop(self) -> None:
        """Request no more and let `run()` return. Messages that still arrive go back to the broker."""
        self._stopped.set()

    async def run(self) -> None:
        """Pull messages until `stop()` is called or the task is cancelled."""
        forget = self._bus.on_loss(self._lose)
        work = asyncio.create_task(self._work(), name=f"pull {self._name}")
        stopped = asyncio.create_task(self._stopped.wait(), name=f"stop of {self._name}")
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # it ends only with an exception, which the caller gets
        finally:
            forget()
            work.cancel()
            stopped.cancel()
            await asyncio.wait([work, stopped])

    async def _work(self) -> None:
        failures = 0
        while True:
            try:
                await self._bus.wait_connected()
                await self._ensure()
                failures = 0 if await self._pull() else failures + 1
            except BusError as error:
                failures += 1
                _log.warning("bus.pull_waits", consumer=self._name, failures=failures, error=str(error))
            await asyncio.sleep(backoff_seconds(failures))

    async def _pull(self) -> bool:
        """Pull for one round; return whether the broker served it."""
        connection = self._bus.connection
        if connection is None:
            return False
        this = PullRound(
            connection,
            self._next_subject,
            free_slots=self._free_slots,
            on_message=self._deliver,
            timings=self._timings,
        )
        self._round = this
        try:
            reason = await this.run()
        finally:
            self._round = None
        _log.info("bus.pull_round_ended", consumer=self._name, reason=reason)
        return this.was_served

    def _lose(self) -> None:
        if self._round is not None:
            self._round.end("connection lost")

    def _deliver(self, delivery: Delivery) -> None:
        if self._stopped.is_set():
            delivery.nak(HAND_BACK_SECONDS)
        else:
            self._on_message(delivery)
