"""One attempt at one command: claim it, execute it, write its end."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

import orjson
import structlog
from structlog.contextvars import bind_contextvars

from libs.attempts import (
    AttemptFailedError,
    ClaimCode,
    CommandLease,
    Ending,
    Failure,
    FailureCode,
    FenceCode,
    Finish,
    Outcome,
    acknowledged,
    cancelled,
    decide,
    ended_by,
    succeeded,
)
from libs.errors import ServiceError
from libs.failpoints import failpoint
from services.runner.attempts.isolation import Isolation
from services.runner.attempts.model import Claim, Work
from services.runner.attempts.ports import AttemptStore
from services.runner.attempts.reports import AttemptReporter
from services.runner.executors.ports import Connection, Execution
from services.runner.sources.ports import DeliveredCommand

_log = structlog.get_logger(__name__)
_FINISH_TRIES = 10
_UNKNOWN = "unknown"
"""Counts the attempts whose end could not be stored."""
_CLAIM_WAITS = (0.1, 0.5, 2.0)  # seconds: the longest wait before each retry
Result = TypeVar("Result")


class _NotStartedError(Exception):
    """The connection was lost before the execution started."""


@dataclass(slots=True)
class _Execution:
    """An execution under a lease. `abandoned` is set once the command no longer belongs to this runner."""

    command: DeliveredCommand
    token: UUID
    attempt: int
    task: asyncio.Task[bytes]
    acknowledged: asyncio.Task[bool] | None = None
    abandoned: bool = False


class Attempts:
    """The attempts of one incarnation of a runner. Every write of an attempt is fenced by its lease token."""

    def __init__(
        self, runner_id: UUID, store: AttemptStore, connection_of: Callable[[UUID], Connection | None]
    ) -> None:  # fmt: skip
        self.runner_id = runner_id
        self._actor = f"runner:{runner_id}"
        self._store = store
        self._connection_of = connection_of
        self._executing: dict[UUID, _Execution] = {}
        self._known: set[UUID] = set()
        self._isolation = Isolation()
        self._random = random.Random()  # noqa: S311 - jitter
        self.draining = False
        """When set, failed claims are not retried. Running attempts continue."""
        self.shutting_down = False
        self.ended: Counter[str] = Counter()
        """The number of attempts that ended here, by how they ended."""

    @property
    def known(self) -> frozenset[UUID]:
        """The commands that are being claimed, executed or ended here."""
        return frozenset(self._known)

    @property
    def executing(self) -> list[CommandLease]:
        """The commands that are being executed here."""
        return [
            CommandLease(execution.command.tenant_id, execution.command.partition, command_id, execution.token)
            for command_id, execution in self._executing.items()
        ]

    def cancel(self, command_id: UUID) -> None:
        """Stop an execution whose cancel was requested, and acknowledge the cancel."""
        execution = self._executing.get(command_id)
        if execution is not None and execution.acknowledged is None:
            report = acknowledged(command_id, execution.token, execution.attempt, self._actor)
            storing = self._store.report(execution.command.tenant_id, execution.command.partition, report)
            execution.acknowledged = asyncio.create_task(storing, name=f"acknowledge {command_id}")
            execution.task.cancel()

    def abandon(self, command_id: UUID) -> None:
        """Stop an execution whose command no longer belongs to this runner. Writes nothing more (failures, row 5)."""
        execution = self._executing.get(command_id)
        if execution is not None and not execution.abandoned:
            execution.abandoned = True
            execution.task.cancel()

    def release_all(self) -> None:
        """Stop all executions and release their commands uncharged, because the runner shuts down."""
        self.shutting_down = True
        for execution in self._executing.values():
            execution.task.cancel()

    async def run(self, command: DeliveredCommand) -> None:
        """Run one attempt to its end. Raises nothing but CancelledError."""
        if command.command_id in self._known:  # a duplicate: the first delivery is being handled
            command.acknowledgement.settle()
            return
        self._known.add(command.command_id)
        try:
            await self._run(command)
        finally:
            self._known.discard(command.command_id)

    async def _run(self, command: DeliveredCommand) -> None:
        claim, work = await self._claim(command)
        if claim is None or claim.lease_token is None or work is None:
            return
        # Each attempt is a task with its own context, so nothing has to be unbound.
        bind_contextvars(command_id=str(claim.command_id), tenant=command.tenant_id, attempt=claim.attempt)
        failpoint("attempts.after_settle_before_execution")
        began = time.monotonic()
        finish = await self._execute(command, claim, claim.lease_token, work)
        if finish is None:
            self.ended[FenceCode.FENCED] += 1
            _log.info("attempt_fenced", seconds=round(time.monotonic() - began, 4))
            return
        try:
            state = await self._finish(command, finish)
        except Exception as error:  # noqa: BLE001 - a finish that cannot be stored must not leave the command running
            _log.exception("finish_not_stored")
            text = f"the end of the attempt could not be stored ({type(error).__name__})"
            fault = Failure(FailureCode.INTERNAL, text, retryable=False)
            finish = self._failed(fault, claim, claim.lease_token, work)
            state = await self._finish(command, finish)
        failpoint("attempts.after_finish")
        self.ended[state or _UNKNOWN] += 1
        log = _log.debug if state == Outcome.SUCCEEDED else _log.info
        log("attempt_ended", state=state or _UNKNOWN, seconds=round(time.monotonic() - began, 4), reason=finish.reason)

    async def _claim(self, command: DeliveredCommand) -> tuple[Claim | None, Work | None]:
        """Claim the command and read it concurrently. Settle the delivery once the claim is decided.

        Of several deliveries, one wins the claim and the others are dropped (failures, row 4). From then on the
        lease guards the command, and nothing depends on the delivery (row 6).
        """
        reading = asyncio.ensure_future(
            self._with_retries(lambda: self._store.work(command.tenant_id, command.command_id))
        )
        try:
            claim = await self._with_retries(
                lambda: self._store.claim(command.tenant_id, command.partition, self.runner_id, command.command_id)
            )
            work = await reading
            failpoint("attempts.after_claim_before_settle")
        except ServiceError as error:
            # The delivery stays unsettled, so it comes again. If the claim committed, the next heartbeat finds it.
            _log.warning("claim_failed", command_id=str(command.command_id), reason=error.reason)
            await asyncio.gather(reading, return_exceptions=True)
            return None, None
        command.acknowledgement.settle()
        if claim.code != ClaimCode.OK:
            _log.debug("claim_rejected", command_id=str(command.command_id), code=claim.code)
            return None, None
        return claim, work

    async def _with_retries(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Retry a call that the database did not answer. A redelivery would come only after the consumer's ack_wait.

        If the first claim committed, the retry is rejected and the next heartbeat releases the command (rule 11).
        """
        waits = iter(_CLAIM_WAITS)
        while True:
            try:
                return await call()
            except ServiceError as error:
                if (wait := next(waits, None)) is None:
                    raise
                _log.info("claim_retried", reason=error.reason)
                await asyncio.sleep(wait * self._random.uniform(0.5, 1))
                if self.draining:
                    raise

    async def _execute(self, command: DeliveredCommand, claim: Claim, token: UUID, work: Work) -> Finish | None:
        connection = self._connection_of(work.session_uid)
        if connection is None:
            return self._not_started(claim, token, work)
        reporter = AttemptReporter(
            work.command_id, token, self._actor,
            lambda report: self._store.report(command.tenant_id, command.partition, report),
            lambda: self.abandon(work.command_id),
        )  # fmt: skip
        execution = Execution(
            **work.execution_options(), command_id=str(work.command_id), correlation_id=work.correlation_id,
            type=work.type, params=orjson.loads(work.params), attempt=claim.attempt, timeout=work.timeout_ms / 1000,
        )  # fmt: skip
        began = time.monotonic()
        task = asyncio.ensure_future(self._result(work, connection, execution, reporter))
        running = self._executing[work.command_id] = _Execution(command, token, claim.attempt, task)
        finish: Finish | None
        try:
            result = await task
            finish = succeeded(
                work.command_id, token, claim.attempt, self._actor, result, time.monotonic() - began
            )  # fmt: skip
        except _NotStartedError:
            finish = self._not_started(claim, token, work)
        except AttemptFailedError as error:
            finish = self._failed(error.failure, claim, token, work)
        except asyncio.CancelledError:
            finish = self._interrupted(running, claim, work)
        except Exception as error:  # noqa: BLE001 - a fault of an executor ends the attempt, not the runner
            _log.exception("executor_fault")
            fault = Failure(FailureCode.INTERNAL, f"the executor failed ({type(error).__name__})", retryable=True)
            finish = self._failed(fault, claim, token, work)
        finally:
            self._executing.pop(work.command_id, None)
        if running.abandoned:
            return None
        if running.acknowledged is not None:
            await asyncio.gather(running.acknowledged, return_exceptions=True)
        if reporter.used:
            await asyncio.gather(reporter.close(), return_exceptions=True)
        return finish

    def _interrupted(self, execution: _Execution, claim: Claim, work: Work) -> Finish | None:
        token = execution.token
        if execution.abandoned:
            return None
        if execution.acknowledged is not None:
            return cancelled(work.command_id, token, claim.attempt, self._actor)
        if self.shutting_down:
            shutdown = Failure(FailureCode.RUNNER_SHUTDOWN, "the runner shut down", retryable=True, charged=False)
            return self._failed(shutdown, claim, token, work)
        raise asyncio.CancelledError

    def _failed(self, failure: Failure, claim: Claim, token: UUID, work: Work) -> Finish:
        decision = decide(failure, work.policy, charged=claim.charged, released=claim.released, draw=self._random)
        return ended_by(failure, decision, work.command_id, token, claim.attempt, self._actor)

    def _not_started(self, claim: Claim, token: UUID, work: Work) -> Finish:
        """Release a command whose connection was lost before it started.

        The release does not count. The command stays a suspect if it was one; otherwise a command that kills its agent
        would run beside the others again.
        """
        details = work.suspicion
        lost = Failure(
            FailureCode.CONNECTION_LOST, "the session has no connection", True, charged=False, details=details
        )
        return replace(self._failed(lost, replace(claim, released=0), token, work), counted=False)

    async def _finish(self, command: DeliveredCommand, finish: Finish) -> Ending | None:
        """Write the end. Retries while the database is unavailable, because the lease may outlast the outage."""
        for attempt in range(_FINISH_TRIES):
            try:
                failpoint("attempts.after_execution_before_finish")
                return await self._store.finish(command.tenant_id, command.partition, finish)
            except ServiceError as error:
                _log.warning("finish_failed", reason=error.reason, attempt=attempt)
                await asyncio.sleep(min(1.0, 0.05 * 2**attempt))
        return None

    async def _result(
        self, work: Work, connection: Connection, execution: Execution, reporter: AttemptReporter
    ) -> bytes:  # fmt: skip
        """Execute the command and return its result as JSON text."""
        async with self._isolation.running(work.session_uid, alone=bool(work.suspicion)):
            if connection.lost.is_set():
                raise _NotStartedError
            return orjson.dumps(await connection.execute(execution, reporter))
