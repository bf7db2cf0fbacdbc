"""Who may run beside whom in a session, once its agent's connection has been lost while commands ran."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(slots=True)
class _Place:
    running: int = 0
    is_taken: bool = False
    waiting: deque[tuple[bool, "asyncio.Future[None]"]] = field(default_factory=deque)

    async def enter(self, *, alone: bool) -> None:
        if not self.waiting and self._admits(alone=alone):
            self._take(alone=alone)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((alone, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # it may have stood in the way of those behind it
            else:
                self.leave()  # it was let in at the moment of the cancellation
            raise

    def leave(self) -> None:
        self.running -= 1
        self.is_taken = False
        self._admit()

    def _admits(self, *, alone: bool) -> bool:
        return not self.is_taken and not (alone and self.running)

    def _take(self, *, alone: bool) -> None:
        self.running += 1
        self.is_taken = alone

    def _admit(self) -> None:
        """Let in those that wait, in the order in which they came."""
        while self.waiting:
            alone, turn = self.waiting[0]
            if not turn.cancelled():
                if not self._admits(alone=alone):
                    return
                self._take(alone=alone)
                turn.set_result(None)
            self.waiting.popleft()


class Isolation:
    """Runs what may have broken its session's connection alone, and all else side by side.

    Of several commands that ran when it broke nobody knows which one is to blame, so none is charged. Tried again
    together they would break it again, until the innocent had been given back too often to be tried once more. Alone,
    each either ends or is charged.
    """

    def __init__(self) -> None:
        self._places: dict[UUID, _Place] = {}

    @asynccontextmanager
    async def running(self, session_uid: UUID, *, alone: bool) -> AsyncIterator[None]:
        """Hold a place in the session; waits for those that came before, where they exclude each other."""
        place = self._places.setdefault(session_uid, _Place())
        try:
            await place.enter(alone=alone)
            try:
                yield
            finally:
                place.leave()
        finally:
            # Another may have forgotten this place already, between our cancellation and now: then the session's place
            # is a later one, which others hold.
            if not place.running and not place.waiting and self._places.get(session_uid) is place:
                del self._places[session_uid]
