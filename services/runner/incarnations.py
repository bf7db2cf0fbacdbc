"""The incarnations of a runner process. When one loses its lease, the next one starts with a new id."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from libs.errors import ServiceError
from libs.telemetry.readings import Readings
from services.runner.leases.service import LeaseLostError
from services.runner.runner import Runner

_log = structlog.get_logger(__name__)


class Incarnations:
    """Runs one incarnation after another. `pause` is the wait in seconds after a registration fails."""

    def __init__(self, new_runner: Callable[[], Runner], *, pause: float) -> None:
        self._new_runner = new_runner
        self._pause = pause
        self._current: Runner | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Run incarnations until `stop` is set."""
        while not stop.is_set():
            self._current = self._new_runner()
            try:
                await self._current.run(stop)
            except LeaseLostError as error:
                _log.warning("runner_restarting", reason=str(error))
            except ServiceError as error:
                _log.warning("runner_registration_failed", reason=error.reason)
                await asyncio.sleep(self._pause)

    def measure(self, readings: Readings) -> None:
        """Expose the metrics of the current incarnation."""
        readings.counter("callboard_attempts", "Attempts that ended", "outcome", self._ended)
        readings.gauge("callboard_runner_load", "What the runner holds now", "kind", self._load)

    def is_healthy(self) -> bool:
        """Report whether the current incarnation is registered and renews its lease."""
        return self._current is not None and self._current.healthy

    def _ended(self) -> Mapping[str, float]:
        return self._current.ended if self._current else {}

    def _load(self) -> Mapping[str, float]:
        return self._current.load if self._current else {}
