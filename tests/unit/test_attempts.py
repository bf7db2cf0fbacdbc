"""One attempt, over a store that is a few lines of memory: what it writes as its end."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import orjson

from libs.attempts import AttemptFailedError, ClaimCode, Failure, FailureCode, Finish, Report
from libs.errors import Reason, ServiceError
from services.runner.attempts.ports import Claim, Work
from services.runner.attempts.service import Attempts
from services.runner.executors.ports import Execution, Reporter
from services.runner.sources.jetstream import BatchAcknowledgement
from services.runner.sources.ports import DeliveredCommand
from tests.support.eventually import eventually

SESSION = uuid4()
SUSPECT = orjson.dumps(
    {"code": "CONNECTION_LOST", "message": "m", "retryable": True, "details": {"suspects": 3}}
).decode()  # fmt: skip


class Acked:
    """A delivery that only counts how often it was acked."""

    count = 0

    def ack(self) -> None:
        self.count += 1


class Memory:
    """The part of the work store that attempts use; every claim is granted."""

    def __init__(self, error: str | None = None, released: int = 0) -> None:
        self.error = error
        self.released = released
        self.ends: list[Finish] = []
        self.reports: list[Report] = []

    async def claim(self, tenant_id: str, part: int, runner_id: UUID, command_id: UUID) -> Claim:
        return Claim(ClaimCode.OK, command_id, uuid4(), 1, 0, self.released)

    async def work(self, tenant_id: str, command_id: UUID) -> Work:
        return Work(command_id, SESSION, "x", "{}", "c", 1000, 3, 10, 10, False, self.error)

    async def report(self, tenant_id: str, part: int, report: Report) -> bool:
        self.reports.append(report)
        return True

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> str:
        self.ends.append(finish)
        return finish.outcome


class Away(Memory):
    """A work store that does not answer the first claims, or reads, or both; what it claimed, it claimed."""

    def __init__(self, *, claims: int = 0, reads: int = 0, commits: bool = False) -> None:
        super().__init__(released=20)
        self.claims, self.reads, self.commits = claims, reads, commits
        self.claimed: set[UUID] = set()
        self.calls = 0

    async def claim(self, tenant_id: str, part: int, runner_id: UUID, command_id: UUID) -> Claim:
        self.calls += 1
        if command_id in self.claimed:
            return Claim(ClaimCode.GONE, command_id, None, 0, 0, 0)
        if self.commits:
            self.claimed.add(command_id)
        self.claims -= 1
        if self.claims >= 0:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "away")
        return await super().claim(tenant_id, part, runner_id, command_id)

    async def work(self, tenant_id: str, command_id: UUID) -> Work:
        self.reads -= 1
        if self.reads >= 0:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "away")
        return await super().work(tenant_id, command_id)


class Agent:
    """A connection whose executions hang until it is lost."""

    description: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.executing = 0

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        self.executing += 1
        await self.lost.wait()
        failure = Failure(FailureCode.CONNECTION_LOST, "lost", True, charged=False, details={"suspects": 2})
        raise AttemptFailedError(failure)

    async def close(self, grace: float) -> None:
        self.lost.set()


def attempts(store: Memory, agent: Agent | None) -> Attempts:
    return Attempts(uuid4(), store, lambda _: agent)


def delivered() -> DeliveredCommand:
    delivery: Any = Acked()
    return DeliveredCommand("acme", 0, uuid4(), BatchAcknowledgement(delivery, 1))


def unsettled(command: DeliveredCommand) -> int:
    assert isinstance(command.acknowledgement, BatchAcknowledgement)
    return command.acknowledgement.open


def error_of(finish: Finish) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(finish.error or "null")
    return found


async def test_a_suspect_whose_connection_is_lost_before_its_turn_stays_one_and_is_given_back_for_nothing() -> None:
    store, agent = Memory(SUSPECT, released=20), Agent()
    running = attempts(store, agent)
    first, second = (asyncio.create_task(running.run(delivered())) for _ in range(2))
    await eventually(lambda: agent.executing == 1)  # alone: the other one waits for its turn
    agent.lost.set()
    await asyncio.gather(first, second)
    begun, waited = sorted(store.ends, key=lambda end: not end.counted)
    assert (begun.counted, error_of(begun)["details"]) == (True, {"suspects": 2})
    assert (waited.outcome, waited.charged, waited.counted) == ("released", False, False)
    assert error_of(waited)["details"] == {"suspects": 3}
    assert agent.executing == 1


async def test_a_command_that_finds_no_connection_is_given_back_for_nothing_and_is_no_suspect() -> None:
    store = Memory(released=20)
    await attempts(store, None).run(delivered())
    (end,) = store.ends
    assert (end.outcome, end.charged, end.counted) == ("released", False, False)
    assert error_of(end)["details"] == {}


async def test_one_that_ran_and_was_released_too_often_is_dead() -> None:
    store, agent = Memory(released=20), Agent()
    agent_lost = asyncio.get_running_loop().call_later(0.01, agent.lost.set)
    await attempts(store, agent).run(delivered())
    agent_lost.cancel()
    assert (store.ends[0].outcome, store.ends[0].reason) == ("failed", "RELEASED_TOO_OFTEN")


async def test_what_is_let_go_of_writes_nothing_and_what_is_cancelled_says_that_it_was_heard() -> None:
    store, agent = Memory(), Agent()
    running = attempts(store, agent)
    taken, cancelled = delivered(), delivered()
    tasks = [asyncio.create_task(running.run(one)) for one in (taken, cancelled)]
    await eventually(lambda: agent.executing == 2)
    assert {command_id for _, command_id, _ in running.executing} == {taken.command_id, cancelled.command_id}
    for _ in range(2):
        running.abandon(taken.command_id)
        running.cancel(cancelled.command_id)
    await asyncio.gather(*tasks)
    assert [(end.command_id, end.outcome) for end in store.ends] == [(cancelled.command_id, "cancelled")]
    assert [(told.command_id, told.type) for told in store.reports] == [
        (cancelled.command_id, "command.cancel_acknowledged")
    ]
    assert running.ended == {"fenced": 1, "cancelled": 1}


async def test_a_claim_that_was_not_answered_is_tried_again() -> None:
    for store in (Away(claims=2), Away(reads=2), Away(claims=1, reads=1)):
        one = delivered()
        await attempts(store, None).run(one)
        assert [end.command_id for end in store.ends] == [one.command_id]
        assert unsettled(one) == 0


async def test_a_claim_that_did_commit_is_not_executed_on_a_guess() -> None:
    """Its token is not known: the next heartbeat finds the command, and gives it back."""
    store, one = Away(claims=1, commits=True), delivered()
    await attempts(store, None).run(one)
    assert (store.calls, store.ends, unsettled(one)) == (2, [], 0)


async def test_a_database_that_stays_away_leaves_the_delivery_unsettled() -> None:
    store, one = Away(claims=100), delivered()
    await attempts(store, None).run(one)
    assert (store.calls, store.ends, unsettled(one)) == (4, [], 1)


async def test_a_runner_that_drains_does_not_try_again() -> None:
    store, one = Away(claims=100), delivered()
    running = attempts(store, None)
    task = asyncio.create_task(running.run(one))
    await eventually(lambda: store.calls == 1)
    running.draining = True
    await task
    assert (store.calls, store.ends, unsettled(one)) == (1, [], 1)
