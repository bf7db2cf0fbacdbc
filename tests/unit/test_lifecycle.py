"""Stops and restarts of sessions that vanish, or whose id is taken, while they run; and their background work."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from services.session import upkeep
from services.session.events.ports import EventStore
from services.session.sessions.model import StopCode
from services.session.sessions.ports import SessionStore, StopRequest, StopStep, Unfinished
from services.session.sessions.service import Lifecycle
from tests.support.eventually import eventually

ACTOR = Actor("acme", "key:1", "127.0.0.1")
REQUEST = StopRequest("clock", "", "", 0.0, None)


class Sessions:
    """A store whose stops take the given step, and that knows no session."""

    def __init__(self, step: StopStep | None = None) -> None:
        self.step = step
        self.rounds = 0
        self.is_away = False

    async def stop(self, actor: Actor, request: StopRequest) -> StopStep:
        assert self.step is not None
        return self.step

    async def partition_of_session(self, tenant_id: str, session_id: str) -> int | None:
        return None

    async def stopping(self, older_than: float) -> list[Unfinished]:
        return self._read()

    async def make_tables(self) -> None:
        self._read()

    def _read(self) -> list[Unfinished]:
        self.rounds += 1
        if self.is_away:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database does not answer")
        return []


def lifecycle(store: Sessions) -> Lifecycle:
    return Lifecycle(cast(SessionStore, store))


async def test_restart_whose_successor_could_not_start_is_rejected() -> None:
    step = StopStep(StopCode.STOPPED, uuid4(), None, None, 0, (), "")
    with pytest.raises(ServiceError) as caught:
        await lifecycle(Sessions(step)).restart(ACTOR, REQUEST)
    assert caught.value.reason is Reason.SESSION_EXISTS


async def test_stop_of_a_session_that_was_deleted_meanwhile_is_rejected() -> None:
    step = StopStep(StopCode.STOPPING, uuid4(), None, None, 1, (), "ses-1")
    with pytest.raises(ServiceError) as caught:
        await lifecycle(Sessions(step)).stop(ACTOR, REQUEST)
    assert caught.value.reason is Reason.SESSION_NOT_FOUND


@pytest.mark.parametrize("work", ["stops_not_finished", "upkeep_failed"])
async def test_background_work_continues_after_the_database_was_away(
    monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    monkeypatch.setattr(upkeep, "_ROUND", 0.001)
    monkeypatch.setattr(upkeep, "_UPKEEP_SECONDS", 0.001)
    store = Sessions()
    store.is_away = True
    running: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "stops_not_finished": upkeep.StopRounds(lifecycle(store)).run,
        "upkeep_failed": partial(upkeep.keep_tables, cast(EventStore, store)),
    }
    with capture_logs() as logs:
        task = asyncio.create_task(running[work]())
        await eventually(lambda: logs)
        store.is_away = False
        before = store.rounds
        await eventually(lambda: store.rounds > before + 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {line["event"] for line in logs} == {work}
