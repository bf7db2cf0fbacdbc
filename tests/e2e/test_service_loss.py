"""Replicas of the services: races between them, and kills of one."""

import asyncio
import contextlib

import pytest

from callboard import CallboardError
from callboard.commands.v1 import commands_pb2
from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import StartSessionRequest, StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.e2e.steps import agent, connected_session, settled_events, submit_many, types_of_command, until_event
from tests.support.client_calls import ended, start, submit
from tests.support.eventually import eventually
from tests.support.outcomes import all_at_once
from tests.support.processes import Suite
from tests.support.stored_events import events_of, types_of
from tests.support.streamed_events import Collector

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_concurrent_starts_on_two_replicas_make_one_session(suite: Suite) -> None:
    """200 concurrent starts of one agent on two replicas all get the same session."""
    clients = [suite.client(session=0), suite.client(session=1)]
    await agent(clients[0], "raced")

    async def race(number: int) -> sessions_pb2.StartSessionResponse:
        return await clients[number % 2].sessions.StartSession(StartSessionRequest(agent_id="raced"))

    answers = await all_at_once(200, race)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]
    assert [answer.created for answer in answers].count(True) == 1
    (session_id,) = {answer.session.session_id for answer in answers}
    await until_event(clients[0], session_id, "agent.connected")
    assert types_of(await events_of(clients[1], session_id)) == ["session.started", "agent.connected"]


async def _stop_that_hangs(suite: Suite, client: Stubs, agent_id: str) -> tuple[str, str, "asyncio.Task[object]"]:
    """Begins to stop a session whose paused runner has a running command, so that the stop has to wait."""
    session = await connected_session(client, agent_id)
    command = await submit(client, "sleep", {"seconds": 60}, agent_id=agent_id)
    await until_event(client, session.session_id, "command.started")
    (await suite.runner_of(command.command_id)).pause()

    async def stop() -> object:
        with contextlib.suppress(CallboardError):
            return await client.sessions.StopSession(StopSessionRequest(agent_id=agent_id))
        return None

    stopping = asyncio.create_task(stop())
    await until_event(client, session.session_id, "session.stopping")
    return session.session_id, command.command_id, stopping


async def _check_stopped(suite: Suite, client: Stubs, session_id: str, command_id: str) -> None:
    await until_event(client, session_id, "session.stopped")
    events = await settled_events(suite, client, session_id)
    assert types_of(events)[-1] == "session.stopped"
    assert types_of(events).count("session.stopped") == 1
    types = [type_ for type_ in types_of_command(events, command_id) if not type_.startswith("command.cancel_")]
    assert types == ["command.enqueued", "command.started", "command.cancelled"]


async def test_stop_of_a_killed_replica_is_completed_by_another(suite: Suite) -> None:
    """The other replica completes the stop, with one closing event.

    A subscriber of the killed replica resumes at the other one with its cursor and gets every event once.
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


async def test_restarted_service_completes_its_own_stop(suite: Suite) -> None:
    """A stop whose only replica was killed is completed when it is started again."""
    client = suite.client(session=0)
    session_id, command_id, stopping = await _stop_that_hangs(suite, client, "picked-up")
    await asyncio.gather(*(part.kill() for part in suite.sessions))
    for runner in suite.runners:
        runner.resume()
    assert await stopping is None
    await asyncio.gather(*(part.start() for part in suite.sessions))
    await _check_stopped(suite, suite.client(session=0), session_id, command_id)


async def test_accepted_commands_survive_a_kill_of_the_command_service(suite: Suite) -> None:
    """Every command that the killed service had accepted completes once."""
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
