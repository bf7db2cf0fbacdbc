"""The use cases of sessions: start, stop, restart and read."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.idempotency import IdempotencyKey, key_error
from services.session.sessions.model import Session, SessionFilter, SessionSpec, StartCode, StopCode
from services.session.sessions.ports import (
    SessionStore,
    StopRequest,
    StopStep,
)

_log = structlog.get_logger(__name__)

STOP_GRACE = 5.0
"""Seconds that running commands get to end on their own when their session stops."""
_POLL_SECONDS = 0.05
_COMMANDS_PER_STEP = 500

_STOPPED = frozenset({StopCode.STOPPED, StopCode.STOPPING, StopCode.STARTED, StopCode.NONE, StopCode.REPLAYED})
"""The codes of a stop or restart that was not rejected."""


class Sessions:
    """Reads sessions."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def get(self, tenant_id: str, session_id: str) -> Session:
        """Return a session; raises ServiceError SESSION_NOT_FOUND."""
        session = await self._store.get(tenant_id, session_id)
        if session is None:
            raise session_missing(session_id)
        return session

    async def find(
        self, tenant_id: str, wanted: SessionFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Session]:
        """Return up to `limit` sessions, newest first, after the keyset `{"at", "uid"}`."""
        return await self._store.find(tenant_id, wanted, after, limit)


class Lifecycle:
    """Starts and ends sessions.

    A stop takes several steps (concurrency, rule 10). When its service dies, `finish_stops` of any replica continues it
    (failures, row 12). A unique index decides which of two concurrent starts creates the session (row 13).
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def start(
        self,
        actor: Actor,
        agent_id: str,
        spec: SessionSpec,
        *,
        fail_on_conflict: bool,
        key: IdempotencyKey | None,
    ) -> tuple[Session, bool]:
        """Return the agent's live session, and whether this call created it. Raises ServiceError."""
        started = await self._store.start(actor, agent_id, spec, fail_on_conflict=fail_on_conflict, key=key)
        failpoint("lifecycle.after_start_before_answer")
        if started.session is not None:
            return started.session, started.code == StartCode.CREATED
        raise _error_of(started.code, {"agent_id": agent_id, "session_id": started.detail or spec.session_id})

    async def stop(self, actor: Actor, request: StopRequest) -> Session | None:
        """Stop a session and return it as it ended; None when no session was live. Raises ServiceError."""
        step = await self._run_stop(actor, request)
        failpoint("lifecycle.after_stop_before_answer")
        return step.session

    async def restart(self, actor: Actor, request: StopRequest) -> tuple[Session, Session | None]:
        """End the agent's live session, if any, and return its successor and the ended session. Raises ServiceError."""
        step = await self._run_stop(actor, request)
        failpoint("lifecycle.after_restart_before_answer")
        if step.successor is None:
            raise ServiceError(
                Reason.SESSION_EXISTS,
                "the successor could not be started: its session id was taken in the meantime",
            )
        return step.successor, step.session

    async def _run_stop(self, actor: Actor, request: StopRequest) -> StopStep:
        step = await self._store.stop(actor, request)
        failpoint("lifecycle.after_stop_begun")
        if step.code not in _STOPPED:
            raise _error_of(step.code, {"agent_id": request.agent_id, "session_id": request.session_id or step.detail})
        if step.code == StopCode.STOPPING and step.session_uid is not None:
            step = await self._take_steps(actor.tenant_id, request, step)
        return step

    async def _take_steps(self, tenant_id: str, request: StopRequest, step: StopStep) -> StopStep:
        """Take steps until the session has ended, with force once the grace is over."""
        uid = step.session_uid
        partition = (
            step.session.partition if step.session else await self._store.partition_of_session(tenant_id, step.detail)
        )
        if uid is None or partition is None:
            raise ServiceError(Reason.SESSION_NOT_FOUND, "the session no longer exists")
        deadline = time.monotonic() + request.grace
        while step.code == StopCode.STOPPING:
            if step.open_commands <= _COMMANDS_PER_STEP:
                await asyncio.sleep(min(_POLL_SECONDS, max(deadline - time.monotonic(), 0.0)))
            failpoint("lifecycle.between_stop_steps")
            step = await self._store.advance_stop(tenant_id, partition, uid, force=time.monotonic() >= deadline)
        return step

    async def finish_stops(self, older_than: float) -> None:
        """Continue the stops that no caller waits for: their service died, or a runner failed the session."""
        for unfinished in await self._store.stopping(older_than):
            step = await self._store.advance_stop(
                unfinished.tenant_id, unfinished.partition, unfinished.session_uid, force=unfinished.late
            )
            failpoint("lifecycle.between_finished_stops")
            if step.code == StopCode.STOPPED:
                _log.info("stop_finished", tenant=unfinished.tenant_id, session_uid=str(unfinished.session_uid))


def _error_of(code: StartCode | StopCode, about: Mapping[str, str]) -> ServiceError:
    """Return the error for a code with which the database rejected a request."""
    agent_id, session_id = about.get("agent_id", ""), about.get("session_id", "")
    if code == StopCode.SESSION_NOT_FOUND:
        return session_missing(session_id, agent_id)
    errors: dict[StartCode | StopCode, tuple[Reason, str]] = {
        StopCode.AGENT_NOT_FOUND: (Reason.AGENT_NOT_FOUND, f"there is no agent {agent_id}"),
        StartCode.STOPPING: (
            Reason.SESSION_STOPPING,
            f"session {session_id} is stopping; try again when it has stopped",
        ),
        StopCode.ALREADY_STOPPING: (
            Reason.SESSION_STOPPING,
            f"session {session_id} is stopping; try again when it has stopped",
        ),
        StartCode.LIVE: (Reason.SESSION_EXISTS, f"agent {agent_id} has the live session {session_id}"),
        StopCode.ID_TAKEN: (Reason.SESSION_EXISTS, f"the session id {session_id} is taken"),
        StopCode.AMBIGUOUS: (Reason.SESSION_AMBIGUOUS, f"agent {agent_id} has several live sessions; name one"),
    }
    given = {name: value for name, value in about.items() if value}
    error = key_error(code, given)
    if error is not None:
        return error
    reason, message = errors[code]
    return ServiceError(reason, message, metadata=given)


def session_missing(session_id: str, agent_id: str = "") -> ServiceError:
    """Return the error for a session that does not exist, or that is not the named agent's."""
    about = {"agent_id": agent_id, "session_id": session_id}
    given = {name: value for name, value in about.items() if value}
    return ServiceError(Reason.SESSION_NOT_FOUND, f"there is no session {session_id}", metadata=given)
