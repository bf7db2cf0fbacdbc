"""One attempt at one command: claim, execute, end."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

import orjson
import structlog
from structlog.contextvars import bind_contextvars

from libs.attempts import (
    AttemptFailedError,
    ClaimCode,
    Failure,
    FailureCode,
    Finish,
    RetryPolicy,
    acknowledged,
    cancelled,
    decide,
    ended_by,
    succeeded,
)
from libs.errors import ServiceError
from libs.failpoints import failpoint
from services.runner.attempts.isolation import Isolation
from services.runner.attempts.ports import AttemptStore, Claim, Work
from services.runner.attempts.reports import AttemptReporter
from services.runner.executors.ports import Connection, Execution
from services.runner.sources.ports import DeliveredCommand

_log = structlog.get_logger(__name__)
_FINISH_TRIES = 10
_CLAIM_WAITS = (0.1, 0.5, 2.0)  # seconds at most, from the failure of one try to the next
Result = TypeVar("Result")


class _NotBegunError(Exception):
    """The connection was lost while the command waited for its turn."""


@dataclass(slots=True)
class _Execution:
    """What is executed under a lease; `taken` once the command is somebody else's."""

    command: DeliveredCommand
    token: UUID
    attempt: int
    task: asyncio.Task[bytes]
    acknowledged: asyncio.Task[bool] | None = None
    taken: bool = False


class Attempts:
    """The attempts of one incarnation of a runner. What is written of an attempt is fenced by its lease token."""

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
        """Set when nothing more is to be claimed; what runs may end."""
        self.shutting_down = False
        self.ended: Counter[str] = Counter()
        """How many attempts ended here, by the state that they left their command in."""

    @property
    def known(self) -> frozenset[UUID]:
        """The commands that are claimed, executed or ended here at the moment."""
        return frozenset(self._known)

    @property
    def executing(self) -> list[tuple[str, UUID, UUID]]:
        """What is executed here at the moment: tenant, command, lease token."""
        return [(one.command.tenant_id, command_id, one.token) for command_id, one in self._executing.items()]

    def cancel(self, command_id: UUID) -> None:
        """Stop an execution because the command's cancel is asked for, and say that the runner has heard of it."""
        one = self._executing.get(command_id)
        if one is not None and one.acknowledged is None:
            told = acknowledged(command_id, one.token, one.attempt, self._actor)
            report = self._store.report(one.command.tenant_id, one.command.partition, told)
            one.acknowledged = asyncio.create_task(report, name=f"acknowledge {command_id}")
            one.task.cancel()

    def abandon(self, command_id: UUID) -> None:
        """Stop an execution whose command is this runner's no longer; it writes nothing more (failures, row 5)."""
        one = self._executing.get(command_id)
        if one is not None and not one.taken:
            one.taken = True
            one.task.cancel()

    def give_back(self) -> None:
        """Stop all executions and give their commands back, uncharged: the runner shuts down."""
        self.shutting_down = True
        for one in self._executing.values():
            one.task.cancel()

    async def run(self, command: DeliveredCommand) -> None:
        """Run one attempt to its end; never raises but for a cancellation."""
        if command.command_id in self._known:  # delivered twice: the first one is at it
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
        # Each attempt is a task with a context of its own, so nothing has to be unbound.
        bind_contextvars(command_id=str(claim.command_id), tenant=command.tenant_id, attempt=claim.attempt)
        failpoint("attempts.after_settle_before_execution")
        began = time.monotonic()
        finish = await self._execute(command, claim, claim.lease_token, work)
        if finish is None:
            self.ended["fenced"] += 1
            _log.info("attempt_fenced", seconds=round(time.monotonic() - began, 4))
            return
        try:
            state = await self._finish(command, finish)
        except Exception as error:  # noqa: BLE001 - an end that cannot be stored must not leave its command running
            _log.exception("end_not_stored")
            text = f"its end could not be stored ({type(error).__name__})"
            fault = Failure(FailureCode.INTERNAL, text, retryable=False)
            finish = self._failed(fault, claim, claim.lease_token, work)
            state = await self._finish(command, finish)
        failpoint("attempts.after_finish")
        self.ended[state] += 1
        log = _log.debug if state == "succeeded" else _log.info
        log("attempt_ended", state=state, seconds=round(time.monotonic() - began, 4), reason=finish.reason)

    async def _claim(self, command: DeliveredCommand) -> tuple[Claim | None, Work | None]:
        """Claim the command while reading what is to be done; ack the delivery once the claim is decided.

        Of several deliveries one wins the claim, and the others are dropped (failures, row 4). From then on the lease
        stands for the command, and nothing depends on the delivery any more (row 6).
        """
        reading = asyncio.ensure_future(
            self._patiently(lambda: self._store.work(command.tenant_id, command.command_id))
        )
        try:
            claim = await self._patiently(
                lambda: self._store.claim(command.tenant_id, command.partition, self.runner_id, command.command_id)
            )
            work = await reading
            failpoint("attempts.after_claim_before_settle")
        except ServiceError as error:
            # Not settled: the dispatch comes again, and a claim that did commit is found by the next heartbeat.
            _log.warning("claim_failed", command_id=str(command.command_id), reason=error.reason)
            await asyncio.gather(reading, return_exceptions=True)
            return None, None
        command.acknowledgement.settle()
        if claim.code != ClaimCode.OK:
            _log.debug("claim_refused", command_id=str(command.command_id), code=claim.code)
            return None, None
        return claim, work

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Try again what the database did not answer: the delivery would come again only after the consumer's ack_wait.

        When it did claim, the next try is refused, and the next heartbeat finds the command (rule 11).
        """
        waits = iter(_CLAIM_WAITS)
        while True:
            try:
                return await call()
            except ServiceError as error:
                if (wait := next(waits, None)) is None:
                    raise
                _log.info("claim_tried_again", reason=error.reason)
                await asyncio.sleep(wait * self._random.uniform(0.5, 1))
                if self.draining:
                    raise

    async def _execute(self, command: DeliveredCommand, claim: Claim, token: UUID, work: Work) -> Finish | None:
        connection = self._connection_of(work.session_uid)
        if connection is None:
            return self._not_begun(claim, token, work)
        reporter = AttemptReporter(
            work.command_id, token, self._actor,
            lambda report: self._store.report(command.tenant_id, command.partition, report),
            lambda: self.abandon(work.command_id),
        )  # fmt: skip
        execution = Execution(
            str(work.command_id), work.correlation_id, work.type, orjson.loads(work.params), claim.attempt,
            work.timeout_ms / 1000, work.retry_tool_errors,
        )  # fmt: skip
        began = time.monotonic()
        task = asyncio.ensure_future(self._result(work, connection, execution, reporter))
        one = self._executing[work.command_id] = _Execution(command, token, claim.attempt, task)
        finish: Finish | None
        try:
            result = await task
            finish = succeeded(
                work.command_id, token, claim.attempt, self._actor, result, time.monotonic() - began
            )  # fmt: skip
        except _NotBegunError:
            finish = self._not_begun(claim, token, work)
        except AttemptFailedError as error:
            finish = self._failed(error.failure, claim, token, work)
        except asyncio.CancelledError:
            finish = self._interrupted(one, claim, work)
        except Exception as error:  # noqa: BLE001 - the boundary: an executor's fault ends its attempt, not the runner
            _log.exception("executor_fault")
            fault = Failure(FailureCode.INTERNAL, f"the executor failed ({type(error).__name__})", retryable=True)
            finish = self._failed(fault, claim, token, work)
        finally:
            self._executing.pop(work.command_id, None)
        if one.taken:
            return None
        if one.acknowledged is not None:
            await asyncio.gather(one.acknowledged, return_exceptions=True)
        if reporter.used:
            await asyncio.gather(reporter.close(), return_exceptions=True)
        return finish

    def _interrupted(self, one: "_Execution", claim: Claim, work: Work) -> Finish | None:
        token = one.token
        if one.taken:
            return None
        if one.acknowledged is not None:
            return cancelled(work.command_id, token, claim.attempt, self._actor)
        if self.shutting_down:
            back = Failure(FailureCode.RUNNER_SHUTDOWN, "the runner shut down", retryable=True, charged=False)
            return self._failed(back, claim, token, work)
        raise asyncio.CancelledError

    def _failed(self, failure: Failure, claim: Claim, token: UUID, work: Work) -> Finish:
        policy = RetryPolicy(work.max_attempts, work.backoff_ms, work.max_backoff_ms)
        decision = decide(failure, policy, charged=claim.charged, released=claim.released, draw=self._random)
        return ended_by(failure, decision, work.command_id, token, claim.attempt, self._actor)

    def _not_begun(self, claim: Claim, token: UUID, work: Work) -> Finish:
        """Give back a command whose connection was lost before it began: no release of its own, and as suspect as
        before, or what ends its agent would run beside the others again."""
        details = _suspicion(work.error)
        lost = Failure(
            FailureCode.CONNECTION_LOST, "the session's connection is gone", True, charged=False, details=details
        )
        return replace(self._failed(lost, replace(claim, released=0), token, work), counted=False)

    async def _finish(self, command: DeliveredCommand, finish: Finish) -> str:
        """Write the end; through a database that is away for a while, since the lease may hold longer than that."""
        for attempt in range(_FINISH_TRIES):
            try:
                failpoint("attempts.after_execution_before_finish")
                return await self._store.finish(command.tenant_id, command.partition, finish)
            except ServiceError as error:
                _log.warning("finish_failed", reason=error.reason, attempt=attempt)
                await asyncio.sleep(min(1.0, 0.05 * 2**attempt))
        return "unknown"

    async def _result(
        self, work: Work, connection: Connection, execution: Execution, reporter: AttemptReporter
    ) -> bytes:  # fmt: skip
        """Execute, and return the result as JSON text."""
        async with self._isolation.running(work.session_uid, alone=bool(_suspicion(work.error))):
            if connection.lost.is_set():
                raise _NotBegunError
            return orjson.dumps(await connection.execute(execution, reporter))


def _suspicion(error: str | None) -> Mapping[str, Any]:
    """Return the details of a last failure that the command may be to blame for: it ran as the connection was lost."""
    if error is None:
        return {}
    read = orjson.loads(error)
    is_suspect = read["code"] == FailureCode.CONNECTION_LOST and read["details"].get("suspects")
    return {"suspects": read["details"]["suspects"]} if is_suspect else {}
