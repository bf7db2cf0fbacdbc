"""A runner: pulls dispatches, claims commands, runs them through their sessions' connections."""

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog

from libs.attempts import FailureCode, Finish
from libs.bus import Bus, Delivery, Notifications, PullLoop, Streams
from libs.dispatches import (
    COMMANDS,
    PRIORITIES,
    decode_dispatch,
    runner_consumer,
)
from libs.errors import ServiceError
from libs.failpoints import failpoint
from libs.notifications import CONNECTIONS_WANTED, runner_subject
from services.runner.attempts.service import Attempts
from services.runner.connections.service import Connections
from services.runner.executors.ports import Executor
from services.runner.ports import WorkStore
from services.runner.sources.inbox import (
    Inbox,
    Message,
    Offer,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """How much a runner takes on, and how long its lease is, in seconds."""

    name: str
    slots: int = 256
    connections: int = 2000
    lease: float = 6.0
    heartbeat: float = 2.0
    drain: float = 10.0


class LeaseLostError(Exception):
    """The lease is gone: declared dead, or slept through it. This incarnation owns nothing and writes nothing more."""


class Runner:
    """One incarnation of a runner, with an id of its own."""

    def __init__(self, bus: Bus, store: WorkStore, executor: Executor, limits: RunnerLimits) -> None:
        self.runner_id: UUID = uuid4()
        self._bus = bus
        self._notifications = Notifications(bus)
        self._store = store
        self._limits = limits
        self._inbox = Inbox(limits.slots)
        self._connections = Connections(self.runner_id, store, executor, limits.connections)
        self._attempts = Attempts(self.runner_id, store, self._connections.of)
        self._tasks: set[asyncio.Task[None]] = set()
        self._side: set[asyncio.Task[None]] = set()
        self._pulls: list[PullLoop] = []
        self._asked = asyncio.Event()
        self._wanted = asyncio.Event()
        self._renewed = 0.0
        self._pausing = False
        self._over = False
        self.healthy = False

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain and leave. Raises LeaseLostError when the lease is lost."""
        self._renewed = time.monotonic()
        await self._store.register(self.runner_id, self._limits.name, self._limits.slots, self._limits.lease)
        failpoint("runner.after_register_before_loops")
        _log.info("runner_started", runner_id=str(self.runner_id), slots=self._limits.slots)
        asked = await self._notifications.subscribe(runner_subject(self.runner_id), lambda *_: self._asked.set())
        wanted = await self._notifications.subscribe(CONNECTIONS_WANTED, lambda *_: self._wanted.set())
        loops: list[Awaitable[None]] = [self._beat(), self._expire(), self._answer(), self._connect()]
        loops += [self._pull(priority) for priority in PRIORITIES]
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(loop) for loop in loops]
        stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            await self._drain()
        except LeaseLostError:
            _log.error("lease_lost", runner_id=str(self.runner_id), running=len(self._tasks))
            raise
        finally:
            self.healthy = False
            self._pausing = self._over = True
            await self._abandon(*tasks, stopping)
            asked.unsubscribe()
            wanted.unsubscribe()
            await self._forget_consumers()

    @property
    def ended(self) -> Mapping[str, float]:
        """How many attempts have ended, by outcome."""
        return self._attempts.ended

    @property
    def load(self) -> Mapping[str, float]:
        """How much is held: attempts that run, offers that wait, connections."""
        return {"attempts": len(self._tasks), "offers": len(self._inbox), "connections": self._connections.held}

    async def _pull(self, priority: int) -> None:
        spec = runner_consumer(self.runner_id, priority)
        streams = Streams(self._bus)

        async def ensure() -> None:
            await streams.ensure_consumer(spec)

        loop = PullLoop(
            self._bus,
            COMMANDS.name,
            spec.name,
            free_slots=lambda: self._free_slots(priority),
            on_message=self._receive,
            ensure=ensure,
        )
        self._pulls.append(loop)
        await loop.run()

    def _free_slots(self, priority: int) -> int:
        return 0 if self._pausing else self._inbox.room(priority, len(self._tasks))

    def _receive(self, delivery: Delivery) -> None:
        try:
            tenant_id, priority, part, pairs = decode_dispatch(delivery.subject, delivery.payload)
        except ValueError:  # it will never be readable (failures, row 9)
            _log.warning("dispatch_unreadable", subject=delivery.subject)
            delivery.term("unreadable")
            return
        if not pairs:
            delivery.ack()
        message = Message(delivery, len(pairs))
        for command_id, _ in pairs:
            self._inbox.put(priority, Offer(tenant_id, part, command_id, message))
        self._pump()

    def _pump(self) -> None:
        while not self._over and len(self._tasks) < self._limits.slots and (offer := self._inbox.take()) is not None:
            task = asyncio.create_task(self._attempts.run(offer), name=f"command {offer.command_id}")
            self._tasks.add(task)
            task.add_done_callback(self._attempted)

    def _attempted(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("attempt_fault", exc_info=task.exception())
        if not self._pausing:
            self._pump()
            for pull in self._pulls:
                pull.wake()

    async def _beat(self) -> None:
        """Renew the lease. The database's clock says who is dead; here only spans are measured (failures, row 21)."""
        while True:
            began = time.monotonic()
            try:
                failpoint("runner.before_heartbeat")
                if not await self._store.heartbeat(self.runner_id, self._limits.lease):
                    raise LeaseLostError("declared dead")
                self._renewed, self._pausing, self.healthy = began, False, True
                self._asked.set()
                self._wanted.set()
            except ServiceError as error:
                self._pausing = True  # rule 7: pull nothing while the database is away
                _log.warning(
                    "heartbeat_failed",
                    reason=error.reason,
                    lease_left=self._limits.lease - (began - self._renewed),
                )
            await asyncio.sleep(self._limits.heartbeat if not self._pausing else self._limits.heartbeat / 4)

    async def _expire(self) -> None:
        """End this incarnation when its lease is over: a runner that slept through it stops at once what it runs.

        A timer of its own, and the first thing that a runner meets which was paused: a heartbeat may wait for long.
        """
        while (left := self._renewed + self._limits.lease - time.monotonic()) > 0:  # noqa: ASYNC110 - it waits for time
            await asyncio.sleep(left)
        raise LeaseLostError("the lease lapsed before it could be renewed")

    async def _answer(self) -> None:
        """Do what is asked, by rows that no lost message takes away (failures, row 11): cancel commands, let go of
        those that were taken from us, close and kill connections, and give back what was claimed without our knowing.
        """
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                asked = await self._store.asked_of(self.runner_id, self._attempts.executing)
                if await self._connections.give_back_unheld(asked.owned):
                    self._wanted.set()
            except ServiceError:
                continue
            for command_id in asked.cancel:
                self._attempts.cancel(command_id)
            for command_id in asked.taken:
                self._attempts.abandon(command_id)
            for _, uid in asked.kill:
                self._aside(self._connections.kill(uid), f"kill {uid}")
            for tenant_id, uid in asked.close:
                self._aside(self._close(tenant_id, uid), f"close {uid}")
            for tenant_id, part, command_id, token in asked.running:
                if command_id not in self._attempts.known:
                    self._aside(self._release(tenant_id, part, command_id, token), f"release {command_id}")

    async def _close(self, tenant_id: str, session_uid: UUID) -> None:
        try:
            await self._connections.close(tenant_id, session_uid)
        except ServiceError as error:
            _log.warning("close_unsettled", session_uid=str(session_uid), reason=error.reason)

    async def _release(self, tenant_id: str, part: int, command_id: UUID, token: UUID) -> None:
        """Give back a command whose claim committed without its answer reaching us (rule 11)."""
        event = f'{{"error":{{"code":"{FailureCode.RUNNER_SHUTDOWN}"}}}}'
        finish = Finish(command_id, token, "released", f"runner:{self.runner_id}", event, charged=False)
        try:
            failpoint("runner.before_release")
            state = await self._store.finish(tenant_id, part, finish)
            _log.info("claim_released", command_id=str(command_id), state=state)
        except ServiceError as refusal:
            _log.warning("release_failed", command_id=str(command_id), reason=refusal.reason)

    async def _connect(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._connections.take_wanted()
            except ServiceError as error:
                _log.warning("connections_not_taken", reason=error.reason)

    def _aside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._side.add(task)
        task.add_done_callback(self._side.discard)

    async def _drain(self) -> None:
        """Claim nothing more, let what runs end within the drain's time, give the rest back, and leave."""
        self._pausing = self._attempts.draining = True
        for pull in self._pulls:
            pull.stop()
        _log.info("runner_draining", running=len(self._tasks))
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._limits.drain)
        self._attempts.give_back()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._limits.drain)
        await self._connections.close_all(give_back=True)
        try:
            await self._store.leave(self.runner_id)
        except ServiceError as error:
            _log.warning("leave_unsettled", runner_id=str(self.runner_id), reason=error.reason)
            return  # what it held is freed when its lease lapses
        _log.info("runner_left", runner_id=str(self.runner_id))

    async def _abandon(self, *loops: asyncio.Future[Any]) -> None:
        """Stop what a drain has left: all when the lease was lost, without a word, since it would be fenced.

        The agents are given no time: what they have been asked for is another runner's by now, or was stopped.
        """
        await asyncio.gather(
            self._connections.close_all(give_back=False, grace=0.0), _cancelled(*loops, *self._tasks, *self._side)
        )

    async def _forget_consumers(self) -> None:
        streams = Streams(self._bus)
        names = [runner_consumer(self.runner_id, priority).name for priority in PRIORITIES]
        if self._bus.connected:
            await asyncio.gather(
                *(streams.delete_consumer(COMMANDS.name, name) for name in names), return_exceptions=True
            )  # fmt: skip


async def _cancelled(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
