"""Replicas of the services: races between them, and what happens when one is killed."""

import asyncio
import contextlib

import pytest

from callboard import CallboardError
from callboard.commands.v1 import commands_pb2
from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import StartSessionRequest, StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.e2e.stories import agent, connected_session, settled_events, submit_many, told_of, until_told
from tests.support.client_calls import ended, start, submit
from tests.support.eventually import eventually
from tests.support.outcomes import all_at_once
from tests.support.processes import Suite
from tests.support.stored_events import events_of, types_of
from tests.support.streamed_events import Collector

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_racing_starts_make_one_session(suite: Suite) -> None:
    """200 starts of one agent that race over two replicas make one session, which all of them are told of."""
    clients = [suite.client(session=0), suite.client(session=1)]
    await agent(clients[0], "raced")

    async def race(number: int) -> sessions_pb2.StartSessionResponse:
        return await clients[number % 2].sessions.StartSession(StartSessionRequest(agent_id="raced"))

    answers = await all_at_once(200, race)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]
    assert [answer.created for answer in answers].count(True) == 1
    (session_id,) = {answer.session.session_id for answer in answers}
    await until_told(clients[0], session_id, "agent.connected")
    assert types_of(await events_of(clients[1], session_id)) == ["session.started", "agent.connected"]


async def _stop_that_hangs(suite: Suite, client: Stubs, agent_id: str) -> tuple[str, str, "asyncio.Task[object]"]:
    """Begins to stop a session whose runner is paused with a running command: the stop has to wait for it."""
    session = await connected_session(client, agent_id)
    command = await submit(client, "sleep", {"seconds": 60}, agent_id=agent_id)
    await until_told(client, session.session_id, "command.started")
    (await suite.runner_of(command.command_id)).pause()

    async def stop() -> object:
        with contextlib.suppress(CallboardError):
            return await client.sessions.StopSession(StopSessionRequest(agent_id=agent_id))
        return None

    stopping = asyncio.create_task(stop())
    await until_told(client, session.session_id, "session.stopping")
    return session.session_id, command.command_id, stopping


async def _check_stopped(suite: Suite, client: Stubs, session_id: str, command_id: str) -> None:
    await until_told(client, session_id, "session.stopped")
    events = await settled_events(suite, client, session_id)
    assert types_of(events)[-1] == "session.stopped"
    assert types_of(events).count("session.stopped") == 1
    told = [type_ for type_ in told_of(events, command_id) if not type_.startswith("command.cancel_")]
    assert told == ["command.enqueued", "command.started", "command.cancelled"]


async def test_another_replica_finishes_the_stop_of_a_killed_one(suite: Suite) -> None:
    """A stop whose service is killed in the middle is finished by another replica, with one closing event.

    A subscriber of the killed replica goes on with its cursor at the other one and has every event once.
    """
    first, second = suite.client(session=0), suite.client(session=1)
    session_id, command_id, stopping = await _stop_that_hangs(suite, first, "taken-over")
    collector = Collector()
    await collector.receive(first, 3, session_id=session_id)
    await suite.sessions[0].kill()
    for runner in suite.runners:
        runner.resume()
    assert await stopping is None
    await _check_stopped(suite, second, session_id, command_id)
    await collector.receive(second, session_id=session_id)
    assert collector.ended
    assert collector.seqs == list(range(1, len(collector.events) + 1))
    await suite.sessions[0].start()
    assert (await start(suite.client(session=0), "taken-over")).session_id != session_id


async def test_a_restarted_service_finishes_its_own_stop(suite: Suite) -> None:
    """A stop that no replica was left to finish is finished when one is started again."""
    client = suite.client(session=0)
    session_id, command_id, stopping = await _stop_that_hangs(suite, client, "picked-up")
    await asyncio.gather(*(part.kill() for part in suite.sessions))
    for runner in suite.runners:
        runner.resume()
    assert await stopping is None
    await asyncio.gather(*(part.start() for part in suite.sessions))
    await _check_stopped(suite, suite.client(session=0), session_id, command_id)


async def test_commands_survive_the_kill_of_their_service(suite: Suite) -> None:
    """Every command that the command service accepted before it was killed completes, once."""
    client = suite.client()
    session = await connected_session(client, "queued")
    accepted: list[str] = []

    async def submit_on() -> None:
        with contextlib.suppress(CallboardError):
            while True:
                accepted.append((await submit(client, agent_id="queued")).command_id)

    accepted += await submit_many(client, "queued", 200)
    submitting = [asyncio.create_task(submit_on()) for _ in range(8)]
    await eventually(lambda: len(accepted) > 250)
    await suite.commands[0].kill()
    await asyncio.gather(*submitting)
    await suite.commands[0].start()
    reader = suite.client()
    for command_id in accepted:
        assert (await ended(reader, command_id)).state == commands_pb2.COMMAND_STATE_SUCCEEDED
    await settled_events(suite, reader, session.session_id)
