"""The connection manager, with a store in memory that can lose a reply."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from structlog.testing import capture_logs

from libs.attempts import AttemptFailedError, Failure, FailureCode
from libs.errors import Reason, ServiceError
from services.runner.connections.model import WantedConnection
from services.runner.connections.service import Connections
from services.runner.executors.ports import Connector, SessionRef
from tests.support.eventually import eventually


class Agent:
    """A connection that records whether it was closed."""

    description: Mapping[str, Any] = {}

    def __init__(self, may_close: asyncio.Event) -> None:
        self.lost = asyncio.Event()
        self.closed = False
        self._may_close = may_close

    async def close(self, grace: float) -> None:
        self.lost.set()
        await self._may_close.wait()
        self.closed = True


class Opener:
    """An executor that connects every session, once it has raised the given errors."""

    def __init__(self, *errors: Exception) -> None:
        self.opened: list[Agent] = []
        self.may_close = asyncio.Event()
        self.may_close.set()
        self._errors = list(errors)

    async def connect(self, session: SessionRef, connector: Connector) -> Agent:
        if self._errors:
            raise self._errors.pop(0)
        self.opened.append(Agent(self.may_close))
        return self.opened[-1]


class Memory:
    """A store with one session that needs a connection. Without `answers`, it loses the reply to `connected`."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.released: list[UUID] = []
        self.delays: list[float] = []
        self.session = WantedConnection("acme", uuid4(), 0, "ses-1", "clock", "echo", "", 1)
        self.failed: list[str] = []
        self._wanted = [self.session]

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        wanted, self._wanted = self._wanted[:limit], self._wanted[limit:]
        return wanted

    async def connected(self, *_: Any) -> bool:
        if not self.answers:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the reply was lost")
        return True

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        self.released.append(session_uid)
        self.delays.append(delay)
        self.want_again()

    async def fail_session(self, tenant_id: str, part: int, session_uid: UUID, actor: str, error: str) -> None:
        self.failed.append(orjson.loads(error)["code"])

    async def closed(self, *_: Any) -> None:
        pass

    def want(self, count: int) -> None:
        """Add so many sessions that need a connection."""
        self._wanted += [replace(self.session, session_uid=uuid4()) for _ in range(count)]

    def want_again(self) -> None:
        self._wanted = [self.session]

    def was_lost(self, times: int) -> bool:
        return len(self.delays) == times


def manager(store: Memory, opener: Opener, limit: int = 10) -> Connections:
    return Connections(uuid4(), store, opener, limit)  # type: ignore[arg-type]


async def test_agent_is_closed_if_its_connect_cannot_be_recorded() -> None:
    store, opener = Memory(answers=False), Opener()
    connections = manager(store, opener)
    await connections.take_wanted()
    await eventually(lambda: connections.held == 0)
    (agent,) = opener.opened
    assert agent.lost.is_set()


async def test_killed_agent_is_released_to_be_connected_again() -> None:
    store, opener = Memory(answers=True), Opener()
    connections = manager(store, opener)
    wanted = store.session
    await connections.take_wanted()
    await eventually(lambda: connections.get(wanted.session_uid))
    await connections.kill(uuid4())  # not held here: nothing to do
    await connections.kill(wanted.session_uid)
    await eventually(lambda: store.released == [wanted.session_uid])
    assert connections.get(wanted.session_uid) is None
    assert opener.opened[0].lost.is_set()


async def lose(store: Memory, connections: Connections, times: int) -> list[float]:
    """Connect and lose the agent so many times. Returns the delays before it may be connected again."""
    store.delays.clear()
    for count in range(1, times + 1):
        await connections.take_wanted()
        await eventually(lambda: connections.get(store.session.session_uid))
        await connections.kill(store.session.session_uid)
        await eventually(partial(store.was_lost, count))
    return list(store.delays)


async def test_each_loss_doubles_the_reconnect_delay() -> None:
    store = Memory(answers=True)
    delays = await lose(store, manager(store, Opener()), 12)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]


async def test_each_loss_doubles_the_delay_before_the_next_connect() -> None:
    store = Memory(answers=True)
    assert await lose(store, manager(store, Opener()), 3) == [0.1, 0.2, 0.4]


async def test_session_assigned_after_close_all_is_not_opened() -> None:
    """The runner knows that it lost its lease before the database does, which may still assign sessions to it."""
    store, opener = Memory(answers=True), Opener()
    connections = manager(store, opener)
    await connections.close_all(release=False)
    await connections.take_wanted()
    await asyncio.sleep(0)
    assert (connections.held, opener.opened) == (0, [])


async def test_session_that_came_back_and_ended_at_once_leaves_no_agent() -> None:
    """The session was freed while this runner was declared dead, then assigned to it again and stopped at once."""
    store, opener = Memory(answers=True), Opener()
    connections = manager(store, opener)
    await connections.take_wanted()
    await eventually(lambda: connections.get(store.session.session_uid))
    store.want_again()
    await connections.take_wanted()
    await connections.close("acme", store.session.session_uid)
    await connections.close_all(release=False)
    assert connections.held == 0
    assert all(agent.lost.is_set() for agent in opener.opened)


async def with_a_session_that_came_back(opener: Opener) -> Connections:
    """The session was freed and assigned to this runner again. Its old agent cannot be closed yet."""
    store = Memory(answers=True)
    connections = manager(store, opener)
    await connections.take_wanted()
    await eventually(lambda: connections.get(store.session.session_uid))
    opener.may_close.clear()
    store.want_again()
    await connections.take_wanted()
    return connections


async def test_session_that_came_back_is_connected_once_its_old_agent_is_closed() -> None:
    opener = Opener()
    await with_a_session_that_came_back(opener)
    await eventually(opener.opened[0].lost.is_set)
    assert len(opener.opened) == 1
    opener.may_close.set()
    await eventually(lambda: len(opener.opened) == 2)
    assert opener.opened[0].closed


async def test_close_all_waits_for_the_old_agent_of_a_session_that_came_back() -> None:
    opener = Opener()
    connections = await with_a_session_that_came_back(opener)
    closing = asyncio.create_task(connections.close_all(release=False))
    await eventually(lambda: connections.held == 0)
    assert not closing.done()
    opener.may_close.set()
    await asyncio.wait_for(closing, 5)
    assert [agent.closed for agent in opener.opened] == [True]


async def test_runner_takes_all_sessions_that_it_has_room_for_and_reports_that_it_is_full() -> None:
    store = Memory(answers=True)
    store.want(249)
    connections = manager(store, Opener(), limit=200)
    with capture_logs() as logs:
        await connections.take_wanted()
    assert (connections.held, connections.room) == (200, 0)
    assert [(line["event"], line["limit"]) for line in logs] == [("connections_full", 200)]
    await connections.close_all(release=False)


AWAY = AttemptFailedError(Failure(FailureCode.AGENT_UNAVAILABLE, "no server", retryable=True))
UNKNOWN = AttemptFailedError(Failure(FailureCode.AGENT_UNAVAILABLE, "no such server", retryable=False))


@pytest.mark.parametrize("error", [AWAY, ValueError("a fault of the executor")])
async def test_failed_connect_is_tried_again_later(error: Exception) -> None:
    store, opener = Memory(answers=True), Opener(error)
    connections = manager(store, opener)
    await connections.take_wanted()
    await eventually(lambda: store.was_lost(1) and connections.held == 0)
    assert 0.1 <= store.delays[0] <= 1.0
    await connections.take_wanted()
    await eventually(lambda: connections.get(store.session.session_uid))
    assert store.failed == []


@pytest.mark.parametrize(("error", "attempts"), [(UNKNOWN, 1), (AWAY, 3), (ValueError("a fault of the executor"), 3)])
async def test_session_fails_if_a_retry_is_pointless_or_was_the_last(error: Exception, attempts: int) -> None:
    store = Memory(answers=True)
    store.session = replace(store.session, attempts=attempts)
    store.want_again()
    await manager(store, Opener(error)).take_wanted()
    await eventually(lambda: store.failed == ["AGENT_UNAVAILABLE"])
    assert store.delays == []
