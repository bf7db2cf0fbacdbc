"""The connection manager: opens the agents of sessions that want it, keeps them, closes them."""

import asyncio
import random
import time
from collections.abc import Sequence
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
from services.runner.connections.ports import ConnectionStore, WantedConnection
from services.runner.executors.ports import (
    Connection,
    Connector,
    Executor,
    SessionRef,
)

_log = structlog.get_logger(__name__)

MAX_CONNECT_ATTEMPTS = 3
CLOSE_GRACE = 5.0
_MAX_RECONNECT_DELAY = 30.0
_FORGIVEN_AFTER = 120.0  # seconds without a loss, which the longest delay and a slow start do not make up
_UNHELD_FOR = 5.0


@dataclass(slots=True, eq=False)
class _Held:
    """A session that is held here. Its task alone opens its connection, and closes it however that task ends."""

    wanted: WantedConnection
    connection: Connection | None = None
    closing: bool = False
    grace: float = CLOSE_GRACE
    task: asyncio.Task[None] = field(init=False)

    def end(self, grace: float = CLOSE_GRACE) -> asyncio.Task[None]:
        """Have the connection closed, once; the task that does it goes on, whoever waits for it."""
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
        self._held: dict[UUID, _Held] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._losses: dict[UUID, tuple[int, float]] = {}
        self._unheld: dict[UUID, float] = {}
        self._ended = False

    def of(self, session_uid: UUID) -> Connection | None:
        """Return the live connection of a session, None when it has none here."""
        held = self._held.get(session_uid)
        connection = held.connection if held else None
        return connection if connection is not None and not connection.lost.is_set() else None

    @property
    def held(self) -> int:
        """How many sessions' connections are held, those included that are being made."""
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more sessions this runner takes."""
        return self._limit - len(self._held)

    async def take_wanted(self) -> None:
        """Take sessions that want a connection, as long as there are some and there is room."""
        while self.room > 0:
            wanted = await self._store.wanted(self._runner_id, min(self.room, 100))
            if self._ended:  # nobody would close what was opened now; it is another's once this lease has lapsed
                return
            for one in wanted:
                self._hold(one)
            if len(wanted) < 100:
                return
        _log.warning("connections_full", limit=self._limit, hint="start another runner, or raise the limit")

    async def give_back_unheld(self, owned: Sequence[tuple[str, UUID]]) -> int:
        """Give back what is this runner's by the database and has not been held here for a while.

        The answer that gave it, or one that would have settled it, was lost: nobody else takes it from a live runner.
        """
        now = time.monotonic()
        self._unheld = {uid: self._unheld.get(uid, now) for _, uid in owned if uid not in self._held}
        given = 0
        for tenant_id, uid in owned:
            if now - self._unheld.get(uid, now) >= _UNHELD_FOR:
                _log.warning("connection_given_back", session_uid=str(uid))
                await self._store.connect_failed(tenant_id, uid, self._runner_id, 0.0)
                given += 1
        return given

    def _hold(self, wanted: WantedConnection) -> None:
        """Serve a session; also one that was taken from us without our knowing, and came back."""
        before = self._held.get(wanted.session_uid)
        held = _Held(wanted)
        held.task = asyncio.create_task(
            self._serve(held, before.end() if before is not None else None), name=f"connection {wanted.session_id}"
        )
        self._held[wanted.session_uid] = held
        self._serving.add(held.task)
        held.task.add_done_callback(lambda task: self._forget(held, task))

    def _forget(self, held: _Held, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if self._held.get(held.wanted.session_uid) is held:
            del self._held[held.wanted.session_uid]

    async def _serve(self, held: _Held, before: asyncio.Task[None] | None) -> None:
        """Connect, serve until the connection is lost or closed, and give it back or up."""
        wanted = held.wanted
        with structlog.contextvars.bound_contextvars(session_id=wanted.session_id, tenant=wanted.tenant_id):
            try:
                if before is not None:
                    await asyncio.wait({before})  # a session has one agent at a time
                connection = await self._connect(held)
                if connection is not None:
                    await connection.lost.wait()
                    await self._lost(wanted, connection)
            except ServiceError as error:
                # The database is away: whatever is half done here is taken over when this runner's lease lapses, or
                # closed by it when it is asked to.
                _log.warning("connection_unsettled", reason=error.reason)
            finally:
                if held.connection is not None:
                    await held.connection.close(held.grace)

    async def _connect(self, held: _Held) -> Connection | None:
        """Open the session's connection and tell the database; None when it is not to be served."""
        wanted, began = held.wanted, time.monotonic()
        session = SessionRef(wanted.tenant_id, str(wanted.session_uid), wanted.session_id, wanted.agent_id)
        try:
            connection = await self._executor.connect(session, Connector(wanted.kind, wanted.server))
        except AttemptFailedError as error:
            await self._refused(wanted, error.failure)
            return None
        except Exception as error:  # noqa: BLE001 - the boundary: an executor's fault fails its session, not the runner
            _log.exception("executor_fault")
            fault = Failure(FailureCode.AGENT_UNAVAILABLE, f"the executor failed ({type(error).__name__})", True)
            await self._refused(wanted, fault)
            return None
        seconds = round(time.monotonic() - began, 3)
        held.connection = connection  # before the database is told: commands may come before its answer
        event = orjson.dumps({**connection.description, "connectMs": round(seconds * 1000)}, default=str).decode()
        failpoint("connections.after_connect_before_told")
        if not await self._store.connected(
            wanted.tenant_id, wanted.partition, self._runner_id, wanted.session_uid, event
        ):  # fmt: skip
            return None
        failpoint("connections.after_told")
        _log.info("agent_connected", agent_id=wanted.agent_id, server=wanted.server, seconds=seconds)
        return connection

    async def _refused(self, wanted: WantedConnection, failure: Failure) -> None:
        _log.warning("agent_not_connected", code=failure.code, error=failure.message, attempt=wanted.attempts)
        if failure.retryable and wanted.attempts < MAX_CONNECT_ATTEMPTS:
            delay = random.uniform(0.1, 0.5 * 2**wanted.attempts)  # noqa: S311 - jitter
            await self._store.connect_failed(wanted.tenant_id, wanted.session_uid, self._runner_id, delay)
            return
        error = orjson.dumps({"code": failure.code.value, "message": failure.message}).decode()
        await self._store.fail_session(
            wanted.tenant_id, wanted.partition, wanted.session_uid, f"runner:{self._runner_id}", error
        )  # fmt: skip

    async def _lost(self, wanted: WantedConnection, connection: Connection) -> None:
        """The agent's process died: clean up and have the session connected again, more slowly each time."""
        losses = self._lost_again(wanted.session_uid)
        delay = min(_MAX_RECONNECT_DELAY, 0.05 * 2 ** min(losses, 10))
        _log.warning("agent_connection_lost", agent_id=wanted.agent_id, losses=losses, retry_in=delay)
        await connection.close(CLOSE_GRACE)
        failpoint("connections.after_loss_before_given_back")
        await self._store.connect_failed(wanted.tenant_id, wanted.session_uid, self._runner_id, delay)

    def _lost_again(self, session_uid: UUID) -> int:
        """Count the losses of a session's agent that follow closely on one another."""
        now = time.monotonic()
        self._losses = {uid: loss for uid, loss in self._losses.items() if now - loss[1] < _FORGIVEN_AFTER}
        before, _ = self._losses.get(session_uid, (0, now))
        self._losses[session_uid] = (before + 1, now)
        return before + 1

    async def close(self, tenant_id: str, session_uid: UUID) -> None:
        """Close a session's connection because the session has ended; also one that is not held here any more."""
        held = self._held.get(session_uid)
        if held is not None:
            if held.closing:
                return
            self._losses.pop(session_uid, None)
            await asyncio.wait({held.end()})
        failpoint("connections.after_shut_before_told")
        await self._store.closed(tenant_id, session_uid, self._runner_id)

    async def kill(self, session_uid: UUID) -> None:
        """End the agent's processes at once. The connection is lost by that, and made anew like any that is."""
        held = self._held.get(session_uid)
        if held is not None and held.connection is not None and not held.closing and not held.connection.lost.is_set():
            _log.warning("agent_killed", session_uid=str(session_uid))
            await held.connection.close(0.0)

    async def close_all(self, *, give_back: bool, grace: float = CLOSE_GRACE) -> None:
        """Close every connection for good; given back, the sessions go on with another runner."""
        self._ended = True

        async def one(uid: UUID, held: _Held) -> None:
            was_closing = held.closing
            await asyncio.wait({held.end(grace)})
            if give_back and not was_closing:
                await self._store.connect_failed(held.wanted.tenant_id, uid, self._runner_id, 0.0)

        await asyncio.gather(*(one(uid, held) for uid, held in list(self._held.items())), return_exceptions=True)
        if self._serving:  # those whose sessions came back to us meanwhile
            await asyncio.wait(self._serving)
