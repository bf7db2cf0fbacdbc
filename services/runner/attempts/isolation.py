"""Which commands of a session may run at the same time after its connection was lost while commands ran."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(slots=True)
class _SessionLock:
    """A lock with shared and exclusive holders. Waiters get it in the order in which they came."""

    running: int = 0
    is_exclusive: bool = False
    waiting: deque[tuple[bool, "asyncio.Future[None]"]] = field(default_factory=deque)

    async def acquire(self, *, alone: bool) -> None:
        if not self.waiting and self._is_free(alone=alone):
            self._hold(alone=alone)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((alone, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._wake_waiters()  # the cancelled waiter may have blocked those behind it
            else:
                self.release()  # it got the lock just before the cancellation
            raise

    def release(self) -> None:
        self.running -= 1
        self.is_exclusive = False
        self._wake_waiters()

    def _is_free(self, *, alone: bool) -> bool:
        return not self.is_exclusive and not (alone and self.running)

    def _hold(self, *, alone: bool) -> None:
        self.running += 1
        self.is_exclusive = alone

    def _wake_waiters(self) -> None:
        """Give the lock to the first waiters, as long as they can hold it together."""
        while self.waiting:
            alone, turn = self.waiting[0]
            if not turn.cancelled():
                if not self._is_free(alone=alone):
                    return
                self._hold(alone=alone)
                turn.set_result(None)
            self.waiting.popleft()


class Isolation:
    """Runs commands that may have broken their session's connection alone, and all other commands concurrently.

    If several commands ran when the connection broke, it is unknown which one broke it, so none is charged. Retried
    together they would break it again, until commands that did no harm had been released too often. Retried alone,
    each command either ends or is charged.
    """

    def __init__(self) -> None:
        self._locks: dict[UUID, _SessionLock] = {}

    @asynccontextmanager
    async def running(self, session_uid: UUID, *, alone: bool) -> AsyncIterator[None]:
        """Run a command in the session. Waits for earlier commands that may not run at the same time."""
        lock = self._locks.setdefault(session_uid, _SessionLock())
        try:
            await lock.acquire(alone=alone)
            try:
                yield
            finally:
                lock.release()
        finally:
            # Another task may have deleted this lock since we were cancelled. Then the session has a newer lock, which
            # others hold.
            if not lock.running and not lock.waiting and self._locks.get(session_uid) is lock:
                del self._locks[session_uid]
