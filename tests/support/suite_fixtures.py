"""Fixtures of a running suite: a client with an agent, its session, a runner."""

from collections.abc import AsyncIterator

import pytest

from callboard.sessions.v1.sessions_pb2 import Session
from libs.rpc.stubs import Stubs
from tests.support.client_calls import make_agent, start
from tests.support.engines import TestNats
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.suite import Suite, running_suite
from tests.support.transition_guard import guard_transitions


@pytest.fixture
def command_replicas() -> int:
    """The number of replicas of the command service. Tests that need only sessions override it with 0."""
    return 1


@pytest.fixture
def broker_url(nats_server: TestNats) -> str:
    """The broker's URL. Tests that break the broker override it."""
    return nats_server.url


@pytest.fixture
async def suite(
    database_url: str, app_database_url: str, broker_url: str, command_replicas: int
) -> AsyncIterator[Suite]:
    """A running suite without runners, whose database rejects transitions that no model allows."""
    guard_transitions(database_url)
    async with running_suite(database_url, app_database_url, broker_url, commands=command_replicas) as running:
        yield running


@pytest.fixture
async def client(suite: Suite) -> Stubs:
    """A client of a tenant that has one agent."""
    made = suite.client()
    await make_agent(made)
    return made


@pytest.fixture
def executor() -> ScriptedExecutor:
    """The executor of the session's runner."""
    return ScriptedExecutor()


@pytest.fixture
async def session_id(suite: Suite, client: Stubs, executor: ScriptedExecutor) -> str:
    """A session with a runner."""
    await suite.runner(executor)
    return (await start(client)).session_id


@pytest.fixture
async def session(client: Stubs) -> Session:
    """A session without a runner."""
    return await start(client)
