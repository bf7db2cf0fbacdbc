"""An executor and a store for the connection manager that answer only when the test says so."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)
from libs.errors import Reason, ServiceError
from services.runner.connections.model import WantedConnection
from services.runner.executors.ports import Connector, SessionRef

SESSIONS = 2


@dataclass(eq=False)
class PendingCall:
    """A call without an answer yet, with its possible answers by name."""

    answers: Mapping[str, Callable[[], object]]
    future: "asyncio.Future[object]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, name: str) -> None:
        try:
            self.future.set_result(self.answers[name]())
        except (AttemptFailedError, ServiceError) as error:
            self.future.set_exception(error)


class PendingCalls:
    """All calls that wait for an answer."""

    def __init__(self) -> None:
        self._asked: list[PendingCall] = []

    def ask(self, **answers: Callable[[], object]) -> "asyncio.Future[Any]":
        self._asked.append(PendingCall(answers))
        return self._asked[-1].future

    @property
    def open(self) -> list[PendingCall]:
        self._asked = [question for question in self._asked if not question.future.done()]
        return self._asked


class DelayedAgent:
    """An agent's process as the port promises it: a close continues although its caller is cancelled."""

    description: Mapping[str, Any] = {}

    def __init__(self, session_uid: UUID, questions: PendingCalls) -> None:
        self.session_uid = session_uid
        self.lost = asyncio.Event()
        self.is_closing = False
        self._questions = questions
        self._gone: asyncio.Future[object] | None = None

    async def close(self, grace: float) -> None:
        self.is_closing = True
        self.lost.set()
        if self._gone is None:
            self._gone = self._questions.ask(gone=lambda: None)
        await asyncio.shield(self._gone)


class DelayedExecutor:
    """Starts a process at once, and answers later whether the agent is connected."""

    def __init__(self, questions: PendingCalls) -> None:
        self.agents: list[DelayedAgent] = []
        self._questions = questions

    async def connect(self, session: SessionRef, connector: Connector) -> DelayedAgent:
        agent = DelayedAgent(UUID(session.session_uid), self._questions)
        self.agents.append(agent)
        try:
            await self._questions.ask(
                connected=lambda: None, failed=lambda: _fail(retryable=True), refused=lambda: _fail(retryable=False)
            )
        except BaseException:
            await agent.close(0)
            raise
        return agent


@dataclass
class Row:
    """The database's row of a session's connection."""

    wanted: WantedConnection
    owner: UUID | None = None
    state: str = "idle"


class DelayedStore:
    """Answers on request, or commits and loses the answer."""

    def __init__(self, questions: PendingCalls) -> None:
        rows = [WantedConnection("acme", uuid4(), 0, f"ses-{n}", "clock", "mcp", "clock", 1) for n in range(SESSIONS)]
        self.rows = {row.session_uid: Row(row) for row in rows}
        self._questions = questions

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        def give() -> list[WantedConnection]:
            found = [row for row in self.rows.values() if row.state == "wanted" and row.owner is None][:limit]
            for row in found:
                row.owner, row.state = runner_id, "connecting"
            return [row.wanted for row in found]

        given: list[WantedConnection] = await self._write(give)
        return given

    async def connected(self, _: str, __: int, runner_id: UUID, session_uid: UUID, ___: str) -> bool:
        def settle() -> bool:
            row = self.rows[session_uid]
            if row.owner != runner_id or row.state != "connecting":
                return False
            row.state = "connected"
            return True

        return bool(await self._write(settle))

    async def connect_failed(self, _: str, session_uid: UUID, runner_id: UUID, __: float) -> None:
        await self._write(lambda: self._leave(session_uid, runner_id, "wanted"))

    async def fail_session(self, _: str, __: int, session_uid: UUID, ___: str, ____: str) -> None:
        await self._write(lambda: self._leave(session_uid, self.rows[session_uid].owner, "idle"))

    async def closed(self, _: str, session_uid: UUID, runner_id: UUID) -> None:
        await self._write(lambda: self._leave(session_uid, runner_id, "idle"))

    def _leave(self, session_uid: UUID, runner_id: UUID | None, state: str) -> None:
        row = self.rows[session_uid]
        if row.owner == runner_id:
            row.owner, row.state = None, "idle" if row.state == "closing" else state

    async def _write(self, commit: Callable[[], Any]) -> Any:
        def commit_and_lose_the_answer() -> None:
            commit()
            _be_away()

        return await self._questions.ask(committed=commit, lost=commit_and_lose_the_answer, refused=_be_away)


def _be_away() -> None:
    raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database is away")


def _fail(*, retryable: bool) -> None:
    raise AttemptFailedError(Failure(FailureCode.AGENT_UNAVAILABLE, "it did not come up", retryable))
