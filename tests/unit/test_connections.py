"""The connection manager, over a store that loses an answer."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.errors import Reason, ServiceError
from services.runner.connections import service as connections_module
from services.runner.connections.ports import WantedConnection
from services.runner.connections.service import Connections
from services.runner.executors.ports import Connector, SessionRef
from tests.support.eventually import eventually


class Agent:
    """A connection that notes whether it was closed."""

    description: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    async def close(self, grace: float) -> None:
        self.lost.set()


class Opener:
    """Connects everyone."""

    def __init__(self) -> None:
        self.opened: list[Agent] = []

    async def connect(self, session: SessionRef, connector: Connector) -> Agent:
        self.opened.append(Agent())
        return self.opened[-1]


class Memory:
    """Wants one connection, and loses the answer that says whose it is."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.given_back: list[UUID] = []
        self.delays: list[float] = []
        self.one = WantedConnection("acme", uuid4(), 0, "ses-1", "clock", "echo", "", 1)
        self._wanted = [self.one]

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        wanted, self._wanted = self._wanted, []
        return wanted

    async def connected(self, *_: Any) -> bool:
        if not self.answers:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the answer was lost")
        return True

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        self.given_back.append(session_uid)
        self.delays.append(delay)
        self.want_again()

    async def closed(self, *_: Any) -> None:
        pass

    def want_again(self) -> None:
        self._wanted = [self.one]

    def was_lost(self, times: int) -> bool:
        return len(self.delays) == times


def manager(store: Memory, opener: Opener) -> Connections:
    return Connections(uuid4(), store, opener, 10)  # type: ignore[arg-type]


async def test_an_agent_whose_session_may_not_be_ours_is_closed_and_not_forgotten_open() -> None:
    store, opener = Memory(answers=False), Opener()
    connections = manager(store, opener)
    await connections.take_wanted()
    await eventually(lambda: connections.held == 0)
    (agent,) = opener.opened
    assert agent.lost.is_set()


async def test_an_agent_that_is_killed_is_given_back_to_be_connected_anew() -> None:
    store, opener = Memory(answers=True), Opener()
    connections = manager(store, opener)
    wanted = store.one
    await connections.take_wanted()
    await eventually(lambda: connections.of(wanted.session_uid))
    await connections.kill(uuid4())  # not held here: nothing to do
    await connections.kill(wanted.session_uid)
    await eventually(lambda: store.given_back == [wanted.session_uid])
    assert connections.of(wanted.session_uid) is None
    assert opener.opened[0].lost.is_set()


async def lose(store: Memory, connections: Connections, times: int) -> list[float]:
    """Has the agent connected and lost so many times; returns after what delays it is wanted again."""
    store.delays.clear()
    for count in range(1, times + 1):
        await connections.take_wanted()
        await eventually(lambda: connections.of(store.one.session_uid))
        await connections.kill(store.one.session_uid)
        await eventually(partial(store.was_lost, count))
    return list(store.delays)


async def test_an_agent_that_is_lost_again_and_again_is_connected_more_slowly_each_time() -> None:
    store = Memory(answers=True)
    delays = await lose(store, manager(store, Opener()), 12)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]


async def test_no_count_of_losses_is_too_high_to_connect_again() -> None:
    store = Memory(answers=True)
    connections = manager(store, Opener())
    connections._losses[store.one.session_uid] = (5000, time.monotonic())
    assert await lose(store, connections, 1) == [30.0]


async def test_losses_are_forgiven_once_the_agent_has_held_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory(answers=True)
    connections = manager(store, Opener())
    assert await lose(store, connections, 3) == [0.1, 0.2, 0.4]
    monkeypatch.setattr(connections_module, "_FORGIVEN_AFTER", 0.0)
    assert await lose(store, connections, 2) == [0.1, 0.1]


async def test_a_session_that_is_wanted_while_all_is_closed_is_not_opened_any_more() -> None:
    """The lease is lost before the database hears of it, and goes on giving sessions to it until then."""
    store, opener = Memory(answers=True), Opener()
    connections = manager(store, opener)
    await connections.close_all(give_back=False)
    await connections.take_wanted()
    await asyncio.sleep(0)
    assert (connections.held, opener.opened) == (0, [])


async def test_the_agent_of_a_session_that_came_back_and_ended_at_once_is_closed() -> None:
    """The session was freed while this runner was thought dead, was given to it again, and was stopped right then."""
    store, opener = Memory(answers=True), Opener()
    connections = manager(store, opener)
    await connections.take_wanted()
    await eventually(lambda: connections.of(store.one.session_uid))
    store.want_again()
    await connections.take_wanted()
    await connections.close("acme", store.one.session_uid)
    await connections.close_all(give_back=False)
    assert connections.held == 0
    assert all(agent.lost.is_set() for agent in opener.opened)
