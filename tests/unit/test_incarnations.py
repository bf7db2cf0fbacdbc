"""A runner that loses its lease restarts under a new id. One that cannot register waits and tries again."""

import asyncio
from collections.abc import Mapping
from typing import cast

from prometheus_client import CollectorRegistry, generate_latest

from libs.errors import Reason, ServiceError
from libs.telemetry.readings import Readings
from services.runner.incarnations import Incarnations
from services.runner.leases.service import LeaseLostError
from services.runner.runner import Runner
from tests.support.eventually import eventually


class ScriptedRunner:
    """Ends with an error, or runs until it is stopped."""

    def __init__(self, error: Exception | None) -> None:
        self.healthy = error is None
        self.ended: Mapping[str, float] = {"succeeded": 3}
        self.load: Mapping[str, float] = {"attempts": 2}
        self._error = error

    async def run(self, stop: asyncio.Event) -> None:
        if self._error is not None:
            raise self._error
        await stop.wait()


class RunnerFactory:
    """Creates scripted runners."""

    def __init__(self, *errors: Exception) -> None:
        self.made: list[ScriptedRunner] = []
        self._errors = list(errors)

    def new_runner(self) -> Runner:
        self.made.append(ScriptedRunner(self._errors.pop(0) if self._errors else None))
        return cast(Runner, self.made[-1])


async def _until_healthy(incarnations: Incarnations, stop: asyncio.Event) -> "asyncio.Task[None]":
    running = asyncio.create_task(incarnations.run(stop))
    await eventually(incarnations.is_healthy)
    return running


async def test_runner_that_lost_its_lease_is_replaced_at_once() -> None:
    fleet, stop = RunnerFactory(LeaseLostError("declared dead"), LeaseLostError("slept through it")), asyncio.Event()
    incarnations = Incarnations(fleet.new_runner, pause=3600)
    running = await _until_healthy(incarnations, stop)
    assert len(fleet.made) == 3
    stop.set()
    await asyncio.wait_for(running, 2)


async def test_runner_that_cannot_register_waits_before_it_tries_again() -> None:
    fleet, stop = RunnerFactory(ServiceError(Reason.DATABASE_UNAVAILABLE, "away")), asyncio.Event()
    loop = asyncio.get_running_loop()
    began = loop.time()
    running = await _until_healthy(Incarnations(fleet.new_runner, pause=0.05), stop)
    assert loop.time() - began >= 0.05
    assert len(fleet.made) == 2
    stop.set()
    await asyncio.wait_for(running, 2)


async def test_metrics_are_those_of_the_current_incarnation() -> None:
    registry = CollectorRegistry()
    incarnations = Incarnations(RunnerFactory().new_runner, pause=1)
    incarnations.measure(Readings(registry))
    assert not incarnations.is_healthy()
    assert b"callboard_attempts_total{" not in generate_latest(registry)
    stop = asyncio.Event()
    running = await _until_healthy(incarnations, stop)
    metrics = generate_latest(registry)
    assert b'callboard_attempts_total{outcome="succeeded"} 3.0' in metrics
    assert b'callboard_runner_load{kind="attempts"} 2.0' in metrics
    stop.set()
    await asyncio.wait_for(running, 2)
