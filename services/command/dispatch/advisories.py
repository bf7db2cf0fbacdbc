"""Reads the broker's advisories: a dispatch reached its delivery limit, and no runner claimed its commands."""

import asyncio

import orjson
import structlog

from libs.attempts import FailureCode
from libs.bus import Bus, BusError, Delivery, PullLoop, Streams
from libs.dispatches import (
    ADVISORIES,
    ADVISORY_READER,
    COMMANDS,
    decode_dispatch,
)
from libs.errors import ServiceError
from libs.telemetry.tasks import TaskWatch
from services.command.dispatch.ports import DeliveryStore

_log = structlog.get_logger(__name__)
_ACTOR = "callboard:dispatcher"
_ERROR = orjson.dumps(
    {
        "code": FailureCode.DISPATCH_LOST,
        "message": "the command was delivered as often as the broker allows, and no runner claimed it",
        "retryable": True,
        "details": {},
    }
).decode()


class Advisories:
    """Reads the advisories from their stream, and charges each command one attempt (concurrency, rule 7).

    When an advisory is lost, the reconciler dispatches the commands again without a charge. So nothing depends on
    advisories but the charge.
    """

    def __init__(self, bus: Bus, store: DeliveryStore) -> None:
        self._bus = bus
        self._streams = Streams(bus)
        self._store = store
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue()

    def start(self, tasks: TaskWatch) -> None:
        """Start the background tasks."""
        tasks.start("advisories", self.pull())
        tasks.start("lost dispatches", self.settle())

    async def pull(self) -> None:
        """Receive advisories until cancelled."""

        async def ensure() -> None:
            await self._streams.ensure_stream(ADVISORIES)
            await self._streams.ensure_consumer(ADVISORY_READER)

        await PullLoop(
            self._bus,
            ADVISORIES.name,
            ADVISORY_READER.name,
            free_slots=lambda: max(0, 16 - self._waiting.qsize()),
            on_message=self._waiting.put_nowait,
            ensure=ensure,
        ).run()

    async def settle(self) -> None:
        """Charge the commands that the advisories name, until cancelled."""
        while True:
            delivery = await self._waiting.get()
            try:
                await self._settle(delivery.payload)
            except (BusError, ServiceError) as error:
                _log.warning("advisory_unsettled", error=str(error))
                delivery.nak(
                    5.0
                )  # without a pause, its own delivery limit would be reached in milliseconds (failures, row 10)
            else:
                delivery.ack()

    async def _settle(self, advisory: bytes) -> None:
        try:
            sequence = int(orjson.loads(advisory)["stream_seq"])
        except (ValueError, TypeError, KeyError):
            sequence = 0
        if sequence < 1:
            _log.warning("advisory_unreadable", bytes=len(advisory))
            return
        message = await self._streams.read_message(COMMANDS.name, sequence)
        if message is None:
            return
        try:
            tenant_id, _, _, pairs = decode_dispatch(message.subject, message.payload)
        except ValueError:
            _log.warning("dispatch_unreadable", sequence=sequence)
            return
        ids = [command_id for command_id, _ in pairs]
        charged = await self._store.dispatch_lost(tenant_id, ids, _ERROR, _ACTOR)
        _log.warning("dispatch_lost", sequence=sequence, commands=len(ids), charged=charged)
