"""A broker that tests can kill, freeze, wipe and start again on the same port."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from libs.bus import (
    Bus,
    ConsumerSpec,
    Delivery,
    Message,
    PubAck,
    Publisher,
    PullLoop,
    PullTimings,
    Streams,
    StreamSpec,
)
from libs.embedded import NatsServer
from tests.support.eventually import eventually
from tests.support.pausing import pause

STREAM = StreamSpec("COMMANDS", ("commands.>",), max_age_seconds=3600, max_bytes=64 << 20, duplicate_window_seconds=60)
Result = TypeVar("Result")


async def until(check: Callable[[], Awaitable[Result]]) -> Result:
    """`eventually` for a coroutine function, with a typed result."""
    untyped: Callable[[], Any] = check
    return cast("Result", await eventually(untyped))


async def until_equal(read: Callable[[], Result], wanted: Result) -> None:
    """Waits until the value read equals `wanted`."""

    def check() -> bool:
        value = read()
        assert value == wanted
        return True

    await eventually(check)


class Broker:
    """One nats-server process with Callboard's own configuration."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return self._server.url

    async def start(self) -> None:
        assert self._process is None
        spec, quiet = self._server.spec, asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            *spec.argv, cwd=spec.cwd, env=spec.environment, stdout=quiet, stderr=quiet
        )
        await until(spec.ready)
        assert self._server.store.is_dir(), "the broker keeps its streams somewhere else"

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.wait()

    def freeze(self) -> None:
        assert self._process is not None
        pause(self._process.pid)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        assert self._process is None
        shutil.rmtree(self._server.store)


@contextlib.asynccontextmanager
async def broker_in(home: Path) -> AsyncIterator[Broker]:
    """A broker that is not started yet, and is stopped at the end."""
    with NatsServer(home) as server:
        server.prepare()
        broker = Broker(server)
        try:
            yield broker
        finally:
            await broker.kill()


class Rig:
    """A stream, a consumer and a pull loop that acknowledges each delivery at once, or leaves that to the test."""

    def __init__(
        self,
        bus: Bus,
        *,
        slots: int = 16,
        consumer: ConsumerSpec | None = None,
        timings: PullTimings | None = None,
    ) -> None:
        self.bus = bus
        self.streams = Streams(bus)
        self.publisher = Publisher(bus)
        self.consumer = consumer or ConsumerSpec("COMMANDS", "runner", ("commands.>",))
        self.slots = slots
        self.settle_at_once = True
        self.deliveries: list[Delivery] = []
        self.open: list[Delivery] = []
        self.epochs: list[str] = []
        self.ensured = 0
        self.loop = PullLoop(
            bus,
            self.consumer.stream,
            self.consumer.name,
            free_slots=lambda: self.slots - len(self.open),
            on_message=self._take,
            ensure=self.ensure,
            timings=timings or PullTimings(),
        )

    async def ensure(self) -> None:
        self.ensured += 1
        self.epochs.append(await self.streams.ensure_stream(STREAM))
        await self.streams.ensure_consumer(self.consumer)

    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    def _take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self.settle_at_once:
            delivery.ack()
        else:
            self.open.append(delivery)


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """Runs the rig's pull loop. Leaving the block stops it and raises its failure."""
    task = asyncio.create_task(rig.loop.run())
    try:
        yield rig
    finally:
        rig.loop.stop()
        await asyncio.wait_for(task, 5)


async def publish(rig: Rig, *ids: str) -> None:
    outcomes = await rig.publisher.publish_many([Message("commands.a", each.encode(), each) for each in ids])
    assert all(isinstance(each, PubAck) for each in outcomes), outcomes


async def settled(rig: Rig) -> bool:
    state = await rig.streams.consumer_state("COMMANDS", rig.consumer.name)
    return state.num_pending == 0 and state.num_ack_pending == 0
