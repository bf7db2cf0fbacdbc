"""The connection manager: opens, keeps and closes the connections of sessions to their agents."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import orjson
import structlog

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)
from libs.errors import ServiceError
from libs.failpoints import failpoint
from services.runner.connections.model import CLOSE_GRACE, Losses, WantedConnection, connect_delay, reconnect_delay
from services.runner.connections.ports import ConnectionStore
from services.runner.executors.ports import (
    Connection,
    Connector,
    Executor,
    SessionRef,
)

_log = structlog.get_logger(__name__)

_RELEASE_UNHELD_AFTER = 5.0  # seconds


@dataclass(slots=True, eq=False)
class _HeldSession:
    """A session that this runner holds. Only `task` opens its connection, and it closes it however it ends."""

    wanted: WantedConnection
    connection: Connection | None = None
    closing: bool = False
    grace: float = CLOSE_GRACE
    task: asyncio.Task[None] = field(init=False)

    def close(self, grace: float = CLOSE_GRACE) -> asyncio.Task[None]:
        """Start to close the connection, once. Returns the task that does it, which outlives its waiters."""
        if not self.closing:
            self.closing, self.grace = True, grace
            self.task.cancel()
        return self.task


class Connections:
    """The connections of one incarnation of a runner, by session."""

    def __init__(self, runner_id: UUID, store: ConnectionStore, executor: Executor, limit: int) -> None:
        self._runner_id = runner_id
        self._store = store
        self._executor = executor
        self._limit = limit
        self._held: dict[UUID, _HeldSession] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._losses = Losses()
        self._random = random.Random()  # noqa: S311 - jitter
        self._unheld_since: dict[UUID, float] = {}
        self._closed = False

    def get(self, session_uid: UUID) -> Connection | None:
        """Return the live connection of a session, or None if this runner has none."""
        held = self._held.get(session_uid)
        connection = held.connection if held else None
        return connection if connection is not None and not connection.lost.is_set() else None

    @property
    def held(self) -> int:
        """The number of sessions held, including those whose connection is being opened."""
        return len(self._held)

    @property
    def room(self) -> int:
        """The number of sessions that this runner can still take."""
        return self._limit - len(self._held)

    async def take_wanted(self) -> None:
        """Take sessions that need a connection until there are none left or the runner is full."""
        while self.room > 0:
            wanted = await self._store.wanted(self._runner_id, min(self.room, 100))
            if self._closed:  # nothing would close these connections; other runners take them once the lease expires
                return
            for session in wanted:
                self._hold(session)
            if len(wanted) < 100:
                return
        _log.warning("connections_full", limit=self._limit, hint="start another runner, or raise the limit")

    async def release_unheld(self, owned: Mapping[UUID, str]) -> int:
        """Release sessions that the database has assigned to this runner and that it has not held for a while.

        `owned` holds the tenants of the assigned sessions.

        A reply was lost: the one that assigned the session, or the one that ended it. No other runner takes a session
        from a live runner.
        """
        now = time.monotonic()
        self._unheld_since = {uid: self._unheld_since.get(uid, now) for uid in owned if uid not in self._held}
        released = 0
        for uid, tenant_id in owned.items():
            if now - self._unheld_since.get(uid, now) >= _RELEASE_UNHELD_AFTER:
                _log.warning("connection_released", session_uid=str(uid))
                await self._store.connect_failed(tenant_id, uid, self._runner_id, 0.0)
                released += 1
        return released

    def _hold(self, wanted: WantedConnection) -> None:
        """Serve a session. If it was taken from this runner unnoticed and came back, close its old connection first."""
        previous = self._held.get(wanted.session_uid)
        held = _HeldSession(wanted)
        held.task = asyncio.create_task(
            self._serve(held, previous.close() if previous is not None else None),
            name=f"connection {wanted.session_id}",
        )
        self._held[wanted.session_uid] = held
        self._serving.add(held.task)
        held.task.add_done_callback(lambda task: self._forget(held, task))

    def _forget(self, held: _HeldSession, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if self._held.get(held.wanted.session_uid) is held:
            del self._held[held.wanted.session_uid]

    async def _serve(self, held: _HeldSession, previous: asyncio.Task[None] | None) -> None:
        """Connect, and keep the connection until it is lost or closed."""
        wanted = held.wanted
        with structlog.contextvars.bound_contextvars(session_id=wanted.session_id, tenant=wanted.tenant_id):
            try:
                if previous is not None:
                    await asyncio.wait({previous})  # a session has one agent at a time
                connection = await self._connect(held)
                if connection is not None:
                    await connection.lost.wait()
                    await self._handle_loss(wanted, connection)
            except ServiceError as error:
                # The database is unavailable. Another runner takes the session over once this runner's lease has
                # expired, or this runner closes it on instruction.
                _log.warning("connection_not_stored", reason=error.reason)
            finally:
                if held.connection is not None:
                    await held.connection.close(held.grace)

    async def _connect(self, held: _HeldSession) -> Connection | None:
        """Open the session's connection and record it. Returns None if the session must not be served."""
        wanted, began = held.wanted, time.monotonic()
        session = SessionRef(wanted.tenant_id, str(wanted.session_uid), wanted.session_id, wanted.agent_id)
        try:
            connection = await self._executor.connect(session, Connector(wanted.kind, wanted.server))
        except AttemptFailedError as error:
            await self._handle_failure(wanted, error.failure)
            return None
        except Exception as error:  # noqa: BLE001 - a fault of an executor fails the session, not the runner
            _log.exception("executor_fault")
            fault = Failure(FailureCode.AGENT_UNAVAILABLE, f"the executor failed ({type(error).__name__})", True)
            await self._handle_failure(wanted, fault)
            return None
        seconds = round(time.monotonic() - began, 3)
        held.connection = connection  # set first: commands may arrive before the database replies
        event = orjson.dumps({**connection.description, "connectMs": round(seconds * 1000)}, default=str).decode()
        failpoint("connections.after_connect_before_report")
        if not await self._store.connected(
            wanted.tenant_id, wanted.partition, self._runner_id, wanted.session_uid, event
        ):  # fmt: skip
            return None
        failpoint("connections.after_report")
        _log.info("agent_connected", agent_id=wanted.agent_id, server=wanted.server, seconds=seconds)
        return connection

    async def _handle_failure(self, wanted: WantedConnection, failure: Failure) -> None:
        """Retry the connect later, or fail the session after the last attempt."""
        _log.warning("agent_not_connected", code=failure.code, error=failure.message, attempt=wanted.attempts)
        delay = connect_delay(wanted.attempts, self._random) if failure.retryable else None
        if delay is not None:
            await self._store.connect_failed(wanted.tenant_id, wanted.session_uid, self._runner_id, delay)
            return
        error = orjson.dumps({"code": failure.code.value, "message": failure.message}).decode()
        await self._store.fail_session(
            wanted.tenant_id, wanted.partition, wanted.session_uid, f"runner:{self._runner_id}", error
        )  # fmt: skip

    async def _handle_loss(self, wanted: WantedConnection, connection: Connection) -> None:
        """Clean up a lost connection and release the session. Each loss doubles the delay before the next connect."""
        losses = self._losses.count(wanted.session_uid, time.monotonic())
        delay = reconnect_delay(losses)
        _log.warning("agent_connection_lost", agent_id=wanted.agent_id, losses=losses, retry_in=delay)
        await connection.close(CLOSE_GRACE)
        failpoint("connections.after_loss_before_release")
        await self._store.connect_failed(wanted.tenant_id, wanted.session_uid, self._runner_id, delay)

    async def close(self, tenant_id: str, session_uid: UUID) -> None:
        """Close the connection of a session that has ended, and record it. The session need not be held here."""
        held = self._held.get(session_uid)
        if held is not None:
            if held.closing:
                return
            self._losses.forget(session_uid)
            await asyncio.wait({held.close()})
        failpoint("connections.after_close_before_report")
        await self._store.closed(tenant_id, session_uid, self._runner_id)

    async def kill(self, session_uid: UUID) -> None:
        """End the agent's processes at once. The connection is lost, and opened again like any lost connection."""
        held = self._held.get(session_uid)
        if held is not None and held.connection is not None and not held.closing and not held.connection.lost.is_set():
            _log.warning("agent_killed", session_uid=str(session_uid))
            await held.connection.close(0.0)

    async def close_all(self, *, release: bool, grace: float = CLOSE_GRACE) -> None:
        """Close every connection and take no more. With `release`, other runners may take the sessions at once."""
        self._closed = True

        async def close(uid: UUID, held: _HeldSession) -> None:
            was_closing = held.closing
            await asyncio.wait({held.close(grace)})
            if release and not was_closing:
                await self._store.connect_failed(held.wanted.tenant_id, uid, self._runner_id, 0.0)

        await asyncio.gather(*(close(uid, held) for uid, held in list(self._held.items())), return_exceptions=True)
        if self._serving:  # the previous connections of sessions that came back
            await asyncio.wait(self._serving)
