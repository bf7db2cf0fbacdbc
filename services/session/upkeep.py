"""What the session service does on its own: finish stops that nobody carries on, make tables, forget keys."""

import asyncio

import structlog

from libs.errors import ServiceError
from services.session.events.ports import EventStore
from services.session.sessions.ports import SessionStore
from services.session.sessions.service import Lifecycle

_log = structlog.get_logger(__name__)
_ROUND = 2.0  # seconds between looks for stops that nobody carries on
_TABLES_EVERY = 3600.0


class StopRounds:
    """Carries on the stops whose service died, and the ends that runners ask for."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._closing = asyncio.Event()

    def look(self) -> None:
        """Look at once: a session is to be closed."""
        self._closing.set()

    async def run(self) -> None:
        """Look every two seconds, and at once when asked to, until cancelled."""
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


async def keep_tables(events: EventStore, sessions: SessionStore) -> None:
    """Make the weeks' tables ahead of time and forget old keys, every hour until cancelled."""
    while True:
        try:
            await events.make_tables()
            await sessions.forget_keys()
        except ServiceError as error:
            _log.warning("upkeep_failed", reason=error.reason)
        await asyncio.sleep(_TABLES_EVERY)
