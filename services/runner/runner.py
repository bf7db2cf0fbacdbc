"""A runner takes commands from its source, claims them and executes them over the connections of their sessions."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog

from libs.attempts import CommandLease, FailureCode, Finish, Outcome
from libs.errors import ServiceError
from libs.failpoints import failpoint
from services.runner.attempts.ports import AttemptStore
from services.runner.attempts.service import Attempts
from services.runner.connections.ports import ConnectionStore
from services.runner.connections.service import Connections
from services.runner.executors.ports import Executor
from services.runner.leases.model import HeldConnection
from services.runner.leases.ports import LeaseStore
from services.runner.leases.service import Lease, LeaseLostError
from services.runner.sources.inbox import Inbox
from services.runner.sources.ports import CommandSource, DeliveredCommand

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """The limits of one runner. Durations are in seconds."""

    name: str
    slots: int = 256
    connections: int = 2000
    lease: float = 6.0
    heartbeat: float = 2.0
    drain: float = 10.0


@dataclass(frozen=True, slots=True)
class RunnerStores:
    """The stores of a runner."""

    leases: LeaseStore
    connections: ConnectionStore
    attempts: AttemptStore


class Runner:
    """One incarnation of a runner, with its own id. It is the sink of its command source."""

    def __init__(
        self,
        stores: RunnerStores,
        source_of: Callable[[UUID], CommandSource],
        executor: Executor,
        limits: RunnerLimits,
    ) -> None:
        self.runner_id: UUID = uuid4()
        self._stores = stores
        self._source = source_of(self.runner_id)
        self._limits = limits
        self._lease = Lease(self.runner_id, stores.leases, limits.lease, limits.heartbeat)
        self._inbox = Inbox(limits.slots)
        self._connections = Connections(self.runner_id, stores.connections, executor, limits.connections)
        self._attempts = Attempts(self.runner_id, stores.attempts, self._connections.get)
        self._tasks: set[asyncio.Task[None]] = set()
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._instructions_pending = asyncio.Event()
        self._connections_pending = asyncio.Event()
        self._draining = False
        self._stopped = False

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain and give up the lease. Raises LeaseLostError if the lease is lost."""
        await self._lease.take(self._limits.name, self._limits.slots)
        failpoint("runner.after_register_before_loops")
        _log.info("runner_started", runner_id=str(self.runner_id), slots=self._limits.slots)
        await self._source.open(self)
        loops: list[Awaitable[None]] = [
            self._lease.renew(self._on_renewed), self._lease.expire(), self._follow_instructions(), self._connect(),
            self._source.run(),
        ]  # fmt: skip
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
            self._draining = self._stopped = True
            await self._stop_all(*tasks, stopping)
            await self._source.close()

    @property
    def healthy(self) -> bool:
        """Whether the first heartbeat has succeeded and the runner has not stopped."""
        return self._lease.was_renewed and not self._stopped

    @property
    def ended(self) -> Mapping[str, float]:
        """The number of attempts that ended, by outcome."""
        return self._attempts.ended

    @property
    def load(self) -> Mapping[str, float]:
        """The current load: running attempts, commands that wait for a slot, and connections."""
        return {"attempts": len(self._tasks), "waiting": len(self._inbox), "connections": self._connections.held}

    # The methods of CommandSink.

    def room(self, priority: int) -> int:
        """Return how many deliveries of a priority may arrive now. 0 while the lease is in doubt (rule 7)."""
        paused = self._lease.in_doubt or self._draining
        return 0 if paused else self._inbox.room(priority, len(self._tasks))

    def deliver(self, priority: int, command: DeliveredCommand) -> None:
        """Start a command if a slot is free; otherwise queue it."""
        self._inbox.put(priority, command)
        self._fill_slots()

    def instructed(self) -> None:
        """Check the database for new instructions."""
        self._instructions_pending.set()

    def connections_wanted(self) -> None:
        """Check the database for sessions that need a connection."""
        self._connections_pending.set()

    def _on_renewed(self) -> None:
        self._instructions_pending.set()
        self._connections_pending.set()

    def _fill_slots(self) -> None:
        while not self._stopped and len(self._tasks) < self._limits.slots and (command := self._inbox.take()):
            task = asyncio.create_task(self._attempts.run(command), name=f"command {command.command_id}")
            self._tasks.add(task)
            task.add_done_callback(self._on_attempt_done)

    def _on_attempt_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("attempt_crashed", exc_info=task.exception())
        if not self._lease.in_doubt and not self._draining:
            self._fill_slots()
            self._source.wake()

    async def _follow_instructions(self) -> None:
        """Carry out the instructions in the database, which survive lost notifications (failures, row 11).

        Cancel commands, abandon commands that now belong to another runner, close and kill connections, and release
        commands whose claim committed although this runner saw it fail.
        """
        while True:
            await self._instructions_pending.wait()
            self._instructions_pending.clear()
            try:
                instructions = await self._stores.leases.instructions(self.runner_id, self._attempts.executing)
                owned = {one.session_uid: one.tenant_id for one in instructions.owned}
                if await self._connections.release_unheld(owned):
                    self._connections_pending.set()
            except ServiceError:
                continue
            for command_id in instructions.cancel:
                self._attempts.cancel(command_id)
            for command_id in instructions.abandon:
                self._attempts.abandon(command_id)
            for one in instructions.kill:
                self._start_side_task(self._connections.kill(one.session_uid), f"kill {one.session_uid}")
            for one in instructions.close:
                self._start_side_task(self._close(one), f"close {one.session_uid}")
            for lease in instructions.running:
                if lease.command_id not in self._attempts.known:
                    self._start_side_task(self._release(lease), f"release {lease.command_id}")

    async def _close(self, held: HeldConnection) -> None:
        try:
            await self._connections.close(held.tenant_id, held.session_uid)
        except ServiceError as error:
            _log.warning("close_not_stored", session_uid=str(held.session_uid), reason=error.reason)

    async def _release(self, lease: CommandLease) -> None:
        """Release a command whose claim committed although the reply never reached this runner (rule 11)."""
        event = f'{{"error":{{"code":"{FailureCode.RUNNER_SHUTDOWN}"}}}}'
        finish = Finish(
            lease.command_id, lease.lease_token, Outcome.RELEASED, f"runner:{self.runner_id}", event, charged=False
        )  # fmt: skip
        try:
            failpoint("runner.before_release")
            state = await self._stores.attempts.finish(lease.tenant_id, lease.partition, finish)
            _log.info("claim_released", command_id=str(lease.command_id), state=state)
        except ServiceError as error:
            _log.warning("release_failed", command_id=str(lease.command_id), reason=error.reason)

    async def _connect(self) -> None:
        while True:
            await self._connections_pending.wait()
            self._connections_pending.clear()
            try:
                await self._connections.take_wanted()
            except ServiceError as error:
                _log.warning("connections_take_failed", reason=error.reason)

    def _start_side_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)

    async def _drain(self) -> None:
        """Claim nothing more, wait up to `drain` seconds for running attempts, release the rest, give up the lease."""
        self._draining = self._attempts.draining = True
        self._source.stop()
        _log.info("runner_draining", running=len(self._tasks))
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._limits.drain)
        self._attempts.release_all()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._limits.drain)
        await self._connections.close_all(release=True)
        await self._lease.leave()

    async def _stop_all(self, *loops: asyncio.Future[Any]) -> None:
        """Stop whatever is still running: nothing after a drain, everything after the lease was lost.

        Nothing is written, because the writes would be fenced. The agents get no grace: their commands were released
        or belong to another runner by now.
        """
        await asyncio.gather(
            self._connections.close_all(release=False, grace=0.0), _cancel_all(*loops, *self._tasks, *self._side_tasks)
        )


async def _cancel_all(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
