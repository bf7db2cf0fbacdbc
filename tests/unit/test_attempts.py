"""One attempt, with a store in memory: what it writes as its end."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from libs.attempts import AttemptFailedError, ClaimCode, Ending, Failure, FailureCode, Finish, Report
from libs.errors import Reason, ServiceError
from services.runner.attempts import service as module
from services.runner.attempts.model import Claim, Work
from services.runner.attempts.service import Attempts
from services.runner.executors.ports import EXECUTION_OPTIONS, Execution, Reporter
from services.runner.sources.jetstream import BatchAcknowledgement
from services.runner.sources.ports import DeliveredCommand
from tests.support.eventually import eventually

SESSION = uuid4()
SUSPECT = orjson.dumps(
    {"code": "CONNECTION_LOST", "message": "m", "retryable": True, "details": {"suspects": 3}}
).decode()  # fmt: skip


class Acked:
    """A delivery that counts its acks."""

    count = 0

    def ack(self) -> None:
        self.count += 1


class Memory:
    """An attempt store in memory that grants every claim."""

    def __init__(self, error: str | None = None, released: int = 0) -> None:
        self.error = error
        self.released = released
        self.ends: list[Finish] = []
        self.reports: list[Report] = []

    async def claim(self, tenant_id: str, part: int, runner_id: UUID, command_id: UUID) -> Claim:
        return Claim(ClaimCode.OK, command_id, uuid4(), 1, 0, self.released)

    async def work(self, tenant_id: str, command_id: UUID) -> Work:
        options: dict[str, Any] = dict.fromkeys(EXECUTION_OPTIONS)
        return Work(
            **options, command_id=command_id, session_uid=SESSION, type="x", params="{}",
            correlation_id="c", timeout_ms=1000, max_attempts=3, backoff_ms=10, max_backoff_ms=10, error=self.error,
        )  # fmt: skip

    async def report(self, tenant_id: str, part: int, report: Report) -> bool:
        self.reports.append(report)
        return True

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> Ending:
        self.ends.append(finish)
        return finish.outcome


class Unreliable(Memory):
    """A store that fails the first `claims` claims and `reads` reads. With `commits`, a failed claim still commits."""

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
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "unavailable")
        return await super().claim(tenant_id, part, runner_id, command_id)

    async def work(self, tenant_id: str, command_id: UUID) -> Work:
        self.reads -= 1
        if self.reads >= 0:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "unavailable")
        return await super().work(tenant_id, command_id)


class Agent:
    """A connection whose executions wait until it is lost."""

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


async def test_suspect_that_never_started_is_released_uncharged_and_stays_a_suspect() -> None:
    store, agent = Memory(SUSPECT, released=20), Agent()
    running = attempts(store, agent)
    first, second = (asyncio.create_task(running.run(delivered())) for _ in range(2))
    await eventually(lambda: agent.executing == 1)  # suspects run alone, so the second one waits
    agent.lost.set()
    await asyncio.gather(first, second)
    started, waited = sorted(store.ends, key=lambda end: not end.counted)
    assert (started.counted, error_of(started)["details"]) == (True, {"suspects": 2})
    assert (waited.outcome, waited.charged, waited.counted) == ("released", False, False)
    assert error_of(waited)["details"] == {"suspects": 3}
    assert agent.executing == 1


async def test_command_without_a_connection_is_released_uncharged_and_is_no_suspect() -> None:
    store = Memory(released=20)
    await attempts(store, None).run(delivered())
    (end,) = store.ends
    assert (end.outcome, end.charged, end.counted) == ("released", False, False)
    assert error_of(end)["details"] == {}


async def test_command_that_was_released_too_often_fails() -> None:
    store, agent = Memory(released=20), Agent()
    running = asyncio.create_task(attempts(store, agent).run(delivered()))
    await eventually(lambda: agent.executing == 1)
    agent.lost.set()
    await running
    assert (store.ends[0].outcome, store.ends[0].reason) == ("failed", "RELEASED_TOO_OFTEN")


async def test_abandoned_attempt_writes_nothing_and_cancelled_attempt_acknowledges_the_cancel() -> None:
    store, agent = Memory(), Agent()
    running = attempts(store, agent)
    abandoned, cancelled = delivered(), delivered()
    tasks = [asyncio.create_task(running.run(command)) for command in (abandoned, cancelled)]
    await eventually(lambda: agent.executing == 2)
    assert {lease.command_id for lease in running.executing} == {abandoned.command_id, cancelled.command_id}
    for _ in range(2):
        running.abandon(abandoned.command_id)
        running.cancel(cancelled.command_id)
    await asyncio.gather(*tasks)
    assert [(end.command_id, end.outcome) for end in store.ends] == [(cancelled.command_id, "cancelled")]
    assert [(report.command_id, report.type) for report in store.reports] == [
        (cancelled.command_id, "command.cancel_acknowledged")
    ]
    assert running.ended == {"fenced": 1, "cancelled": 1}


async def test_claim_without_a_reply_is_retried() -> None:
    for store in (Unreliable(claims=2), Unreliable(reads=2), Unreliable(claims=1, reads=1)):
        command = delivered()
        await attempts(store, None).run(command)
        assert [end.command_id for end in store.ends] == [command.command_id]
        assert unsettled(command) == 0


async def test_claim_that_committed_without_a_reply_is_not_executed() -> None:
    """Its lease token is unknown. The next heartbeat finds the command and releases it."""
    store, command = Unreliable(claims=1, commits=True), delivered()
    await attempts(store, None).run(command)
    assert (store.calls, store.ends, unsettled(command)) == (2, [], 0)


async def test_delivery_stays_unsettled_while_the_database_is_unavailable() -> None:
    store, command = Unreliable(claims=100), delivered()
    await attempts(store, None).run(command)
    assert (store.calls, store.ends, unsettled(command)) == (4, [], 1)


async def test_draining_runner_does_not_retry_a_claim() -> None:
    store, command = Unreliable(claims=100), delivered()
    running = attempts(store, None)
    task = asyncio.create_task(running.run(command))
    await eventually(lambda: store.calls == 1)
    running.draining = True
    await task
    assert (store.calls, store.ends, unsettled(command)) == (1, [], 1)


async def test_command_that_is_delivered_twice_runs_once_and_settles_both() -> None:
    store, agent = Memory(), Agent()
    running = attempts(store, agent)
    first = delivered()
    second = replace(first, acknowledgement=delivered().acknowledgement)
    task = asyncio.create_task(running.run(first))
    await eventually(lambda: agent.executing == 1)
    await running.run(second)
    agent.lost.set()
    await task
    assert (agent.executing, unsettled(first), unsettled(second)) == (1, 0, 0)


class WithoutEnd(Memory):
    """A store that cannot store the end of an attempt for `failures` times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> Ending:
        if self.failures:
            self.failures -= 1
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "unavailable")
        return await super().finish(tenant_id, part, finish)


async def test_end_that_cannot_be_stored_is_tried_again() -> None:
    store = WithoutEnd(1)
    await attempts(store, None).run(delivered())
    assert [end.outcome for end in store.ends] == ["released"]


async def test_end_that_cannot_be_stored_for_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease has expired by then, and the reconciler ends the attempt."""
    monkeypatch.setattr(module, "_FINISH_TRIES", 2)
    store = WithoutEnd(3)
    running = attempts(store, None)
    await running.run(delivered())
    assert (store.failures, store.ends) == (1, [])
    assert running.ended == {"unknown": 1}
