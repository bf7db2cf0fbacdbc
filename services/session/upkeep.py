"""Background work of the session service: finishes abandoned stops and creates tables."""

import asyncio

import structlog

from libs.errors import ServiceError
from services.session.events.ports import EventStore
from services.session.sessions.service import Lifecycle

_log = structlog.get_logger(__name__)
_ROUND = 2.0  # seconds between searches for abandoned stops
_UPKEEP_SECONDS = 3600.0  # between two rounds of `keep_tables`


class StopRounds:
    """Continues the stops whose service died, and those that runners request."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._closing = asyncio.Event()

    def wake(self) -> None:
        """Search at once: a session has to be closed."""
        self._closing.set()

    async def run(self) -> None:
        """Search every two seconds, and at once after `wake`, until cancelled."""
        while True:
            older_than = 0.0 if self._closing.is_set() else _ROUND
            self._closing.clear()
            try:
                await self._lifecycle.finish_stops(older_than)
            except ServiceError as error:
                _log.warning("stops_not_finished", reason=error.reason)
            try:
                async with asyncio.timeout(_ROUND):
                    await self._closing.wait()
            except TimeoutError:
                continue


async def keep_tables(events: EventStore) -> None:
    """Create the tables of the coming weeks, every hour until cancelled."""
    while True:
        try:
            await events.make_tables()
        except ServiceError as error:
            _log.warning("upkeep_failed", reason=error.reason)
        await asyncio.sleep(_UPKEEP_SECONDS)
