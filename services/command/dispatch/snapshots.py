"""An eye on the oldest snapshot that is held in the database (concurrency, rule 13)."""

import asyncio
from typing import Protocol

import structlog

from libs.errors import ServiceError

_log = structlog.get_logger(__name__)
_EVERY = 15.0
_LONG = 300.0


class SnapshotStore(Protocol):
    """Who knows what the database's sessions do."""

    async def oldest_snapshot(self) -> float:
        """Return for how many seconds the oldest snapshot has been held, 0 when none is."""


class Snapshots:
    """Reads the oldest snapshot's age now and then, for the metrics, and warns of one that slows appends down."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._warned = False
        self.oldest_seconds = 0.0
        """Seconds, as of the last look; 0 when none is held."""

    async def watch(self) -> None:
        """Look, as long as the process runs."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """Look once. A database that is away has no news: the figure stays."""
        try:
            self.oldest_seconds = await self._store.oldest_snapshot()
        except ServiceError:
            return
        is_long = self.oldest_seconds > _LONG
        if is_long and not self._warned:
            _log.warning(
                "old_snapshot",
                seconds=round(self.oldest_seconds),
                hint="a long transaction or export slows every append down; end it, or read in short pages",
            )
        self._warned = is_long
