"""The connection manager, with a store in memory that can lose a reply."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from libs.errors import Reason, ServiceError
from services.runner.connections.model import WantedConnection
from services.runner.connections.service import Connections
from services.runner.executors.ports import Connector, SessionRef
from tests.support.eventually import eventually


class Agent:
    """A connection that records whether it was closed."""

    description: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    async def close(self, grace: float) -> None:
        self.lost.set()


class Opener:
    """An executor that connects every session."""

    def __init__(self) -> None:
        self.opened: list[Agent] = []

    async def connect(self, session: SessionRef, connector: Connector) -> Agent:
        self.opened.append(Agent())
        return self.opened[-1]


class Memory:
    """A store with one session that needs a connection. Without `answers`, it loses the reply to `connected`."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.released: list[UUID] = []
        self.delays: list[float] = []
        self.session = WantedConnection("acme", uuid4(), 0, "ses-1", "clock", "echo", "", 1)
        self._wanted = [self.session]

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        wanted, self._wanted = self._wanted, []
        return wanted

    async def connected(self, *_: Any) -> bool:
        if not self.answers:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the reply was lost")
        return True

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        self.released.append(session_uid)
        self.delays.append(delay)
        self.want_again()

    async def closed(self, *_: Any) -> None:
        pass

    def want_again(self) -> None:
        self._wanted = [self.session]

    def was_lost(self, times: int) -> bool:
        return len(self.delays) == times


def manager(store: Memory, opener: Opener) -> Connections:
    return Connections(uuid4(), store, opener, 10)  # type: ignore[arg-type]


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
