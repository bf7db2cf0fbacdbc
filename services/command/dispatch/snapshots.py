"""Watches the age of the oldest snapshot in the database (concurrency, rule 13)."""

import asyncio
from typing import Protocol

import structlog

from libs.errors import ServiceError
from libs.telemetry.readings import Readings

_log = structlog.get_logger(__name__)
_EVERY = 15.0
_LONG = 300.0


class SnapshotStore(Protocol):
    """Reads the age of the oldest snapshot."""

    async def oldest_snapshot(self) -> float:
        """Return for how many seconds the oldest snapshot has been held, 0 when none is."""


class Snapshots:
    """Reads the age of the oldest snapshot for the metrics, and warns when it slows appends down."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._warned = False
        self.oldest_seconds = 0.0
        """Seconds, as of the last reading; 0 when no snapshot is held."""

    def measure(self, readings: Readings) -> None:
        """Expose the last reading."""
        readings.gauge(
            "callboard_oldest_snapshot_seconds",
            "How long the oldest snapshot of the database has been held",
            "",
            lambda: {"": self.oldest_seconds},
        )

    async def watch(self) -> None:
        """Read the age every 15 s until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """Read the age once. While the database is away, the last value stays."""
        try:
            self.oldest_seconds = await self._store.oldest_snapshot()
        except ServiceError:
            return
        is_long = self.oldest_seconds > _LONG
        if is_long and not self._warned:
            _log.warning(
                "old_snapshot",
                seconds=round(self.oldest_seconds),
                hint="a long transaction or export slows down every append; end it, or read in short pages",
            )
        self._warned = is_long
