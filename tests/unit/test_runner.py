"""A runner carries out its instructions, and survives a database that does not answer; with stores in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from libs.attempts import ClaimCode, CommandLease, Ending, Finish, Outcome
from libs.errors import Reason, ServiceError
from services.runner.attempts.model import Claim
from services.runner.connections.model import WantedConnection
from services.runner.leases.model import HeldConnection, Instructions
from services.runner.leases.service import LeaseLostError
from services.runner.runner import Runner, RunnerLimits, RunnerStores
from services.runner.sources.ports import CommandSink, DeliveredCommand
from tests.support.eventually import eventually

NOTHING = Instructions((), (), (), (), (), ())


class Source:
    """A source that delivers what a test puts into it."""

    def __init__(self) -> None:
        self.closed = False

    async def open(self, sink: CommandSink) -> None:
        self.sink = sink

    async def run(self) -> None:
        await asyncio.Event().wait()

    def wake(self) -> None:
        pass

    def stop(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


class Settled:
    """Counts the settled deliveries."""

    count = 0

    def settle(self) -> None:
        self.count += 1


class Memory:
    """All stores of a runner. Calls of a method in `failing` fail; `calls` counts every call."""

    def __init__(self) -> None:
        self.is_alive = True
        self.instructed = NOTHING
        self.failing: dict[str, Exception] = {}
        self.calls: Counter[str] = Counter()
        self.ends: list[tuple[str, Finish]] = []
        self.may_claim = asyncio.Event()
        self.may_claim.set()

    def _answer(self, call: str) -> None:
        self.calls[call] += 1
        if call in self.failing:
            raise self.failing[call]

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        self._answer("register")

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        self._answer("heartbeat")
        return self.is_alive

    async def leave(self, runner_id: UUID) -> None:
        self._answer("leave")

    async def instructions(self, runner_id: UUID, executing: Sequence[CommandLease]) -> Instructions:
        self._answer("instructions")
        return self.instructed

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        self._answer("wanted")
        return []

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        self._answer("closed")

    async def claim(self, tenant_id: str, partition: int, runner_id: UUID, command_id: UUID) -> Claim:
        self._answer("claim")
        await self.may_claim.wait()
        return Claim(ClaimCode.GONE, command_id, None, 0, 0, 0)

    async def work(self, tenant_id: str, command_id: UUID) -> None:
        """Read together with the claim, and used only if that is granted."""

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> Ending:
        self._answer("finish")
        self.ends.append((tenant_id, finish))
        return Outcome.RELEASED


class Rig:
    """A runner with its source and its stores."""

    def __init__(self) -> None:
        self.memory, self.source, self.stop = Memory(), Source(), asyncio.Event()
        stores: Any = self.memory
        self.runner = Runner(
            RunnerStores(stores, stores, stores), lambda _: self.source, cast(Any, None),
            RunnerLimits("r", slots=1, heartbeat=0.01, drain=1.0),
        )  # fmt: skip

    async def has_called(self, name: str, times: int = 1) -> None:
        """Waits until a method was called so many times more."""
        wanted = self.memory.calls[name] + times
        await eventually(lambda: self.memory.calls[name] >= wanted)

    def deliver(self) -> Settled:
        """Delivers a command, and returns its acknowledgement."""
        settled = Settled()
        self.runner.deliver(1, DeliveredCommand("acme", 0, uuid4(), settled))
        return settled


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A runner that runs, and ends in order."""
    rig = Rig()
    running = asyncio.create_task(rig.runner.run(rig.stop))
    await eventually(lambda: rig.runner.healthy)
    yield rig
    rig.stop.set()
    await asyncio.wait_for(running, 5)
    assert rig.source.closed


def away() -> ServiceError:
    return ServiceError(Reason.DATABASE_UNAVAILABLE, "the database does not answer")


async def test_command_claimed_without_a_reply_is_released_uncharged(rig: Rig) -> None:
    lease = CommandLease("acme", 3, uuid4(), uuid4())
    rig.memory.failing = {"finish": away()}
    rig.memory.instructed = Instructions((), (), (), (), (), (lease,))
    await rig.has_called("finish", 2)
    rig.memory.failing = {}
    await eventually(lambda: rig.memory.ends)
    tenant_id, end = rig.memory.ends[0]
    assert (tenant_id, end.command_id, end.token) == ("acme", lease.command_id, lease.lease_token)
    assert (end.outcome, end.charged) == (Outcome.RELEASED, False)


async def test_failed_calls_are_repeated_at_the_next_heartbeat(rig: Rig) -> None:
    for call in ("instructions", "wanted", "heartbeat"):
        rig.memory.failing = {call: away()}
        await rig.has_called(call, 3)
    rig.memory.failing = {}
    await eventually(lambda: rig.runner.room(1))


async def test_close_that_cannot_be_stored_is_tried_again(rig: Rig) -> None:
    rig.memory.failing = {"closed": away()}
    rig.memory.instructed = Instructions((), (), (HeldConnection("acme", uuid4()),), (), (), ())
    with capture_logs() as logs:
        await rig.has_called("closed", 2)
    assert {line["event"] for line in logs} == {"close_not_stored"}


async def test_fault_in_an_attempt_frees_its_slot(rig: Rig) -> None:
    rig.memory.failing = {"claim": RuntimeError("a fault")}
    with capture_logs() as logs:
        lost = rig.deliver()
        await eventually(lambda: logs)
    rig.memory.failing = {}
    await eventually(lambda: rig.runner.load["attempts"] == 0)
    settled = rig.deliver()
    await eventually(lambda: settled.count == 1)
    assert [line["event"] for line in logs] == ["attempt_crashed"]
    assert lost.count == 0, "the source delivers it again"


async def test_load_counts_running_and_waiting_commands(rig: Rig) -> None:
    rig.memory.may_claim.clear()
    delivered = [rig.deliver() for _ in range(3)]
    assert rig.runner.load == {"attempts": 1, "waiting": 2, "connections": 0}
    rig.memory.may_claim.set()
    await eventually(lambda: all(each.count == 1 for each in delivered))
    assert rig.runner.load == {"attempts": 0, "waiting": 0, "connections": 0}
    assert rig.runner.ended == {}, "no attempt began"


async def test_runner_that_cannot_give_up_its_lease_ends(rig: Rig) -> None:
    """The lease expires, and the reconciler frees what the runner held."""
    rig.memory.failing = {"leave": away()}


async def test_runner_that_was_declared_dead_ends_and_writes_nothing() -> None:
    rig = Rig()
    rig.memory.is_alive = False
    with pytest.raises(LeaseLostError, match="declared dead"):
        await asyncio.wait_for(rig.runner.run(rig.stop), 5)
    assert set(rig.memory.calls) <= {"register", "heartbeat"}
    assert not rig.runner.healthy
    assert rig.source.closed
