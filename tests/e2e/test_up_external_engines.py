"""`callboard up --runners 2` with external Postgres and NATS: it uses those, and starts no others."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from callboard.commands.v1.commands_pb2 import COMMAND_STATE_SUCCEEDED
from callboard.sessions.v1.sessions_pb2 import Session
from libs.bus import Bus, Streams
from libs.embedded.leftovers import process_started
from libs.rpc.stubs import Stubs
from services.cli.home import SOURCE_ROOT
from tests.e2e.steps import connected_session, run_tool
from tests.e2e.up_rig import Up, descendants, left_of
from tests.support.client_calls import ended, submit
from tests.support.engines import TestNats, TestPostgres, reachable_home, running_nats
from tests.support.eventually import eventually
from tests.support.stored_events import events_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow(18)]
RUNNERS = ["runner-1", "runner-2"]


@dataclass(frozen=True)
class ExternalEngines:
    """External engines with an empty database, and the home of an `up`."""

    database_url: str
    nats: TestNats
    home: Path

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Up]:
        """Runs `up --runners 2` with the external engines; kills it if the test leaves it running."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD")}
        ports = {f"CALLBOARD_{name}_PORT": "0" for name in ("HTTP", "SESSION", "COMMAND")}
        external = {
            "DATABASE_URL": self.database_url,
            "NATS_URL": self.nats.url,
            "CALLBOARD_DRAIN": "1",
            "CALLBOARD_LEASE": "2",
            "CALLBOARD_HEARTBEAT": "0.5",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", "up", "--runners", str(len(RUNNERS))),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=SOURCE_ROOT,
            env={**kept, **ports, **external, "CALLBOARD_HOME": str(self.home)},
        )
        up = Up(process, self.home)
        try:
            await up.until_up()
            yield up
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def external(postgres: TestPostgres) -> AsyncIterator[ExternalEngines]:
    with reachable_home() as folder, psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute("create database given")
        try:
            async with running_nats(folder / "nats") as nats:
                yield ExternalEngines(postgres.admin_url_of("given"), nats, folder / "home")
        finally:
            admin.execute("drop database given with (force)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(external: ExternalEngines) -> AsyncIterator[Up]:
    async with external.up() as running:
        yield running


def _names_of(pids: list[int]) -> set[str]:
    """The names of the processes."""
    return {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids if process_started(pid) is not None}


async def test_up_with_external_engines_starts_none(external: ExternalEngines, up: Up) -> None:
    """Its processes are the services and two runners. Its home has no database and no broker's store."""
    assert sorted(up.endpoints["pids"]) == ["command", "gateway", *RUNNERS, "session", "up"]
    names = _names_of(descendants(up.process.pid))
    assert names
    assert not [name for name in names if "postgres" in name or "nats" in name]
    assert {path.name for path in external.home.iterdir()}.isdisjoint({"postgres", "nats"})


async def test_up_keeps_all_state_in_the_external_engines(external: ExternalEngines, up: Up) -> None:
    """A session and its command are in the external database, and the dispatch went through the external broker."""
    async with up.grpc() as client:
        session = await connected_session(client, "guest", "time")
        command = await run_tool(client, "guest", "get_current_time", timezone="UTC")
        assert (await ended(client, command.command_id)).state == COMMAND_STATE_SUCCEEDED
    assert (session.session_id, "guest") in external.rows("select session_id, agent_id from session.sessions")
    assert (UUID(command.command_id), "succeeded") in external.rows("select command_id, state from command.commands")
    bus = await Bus.connect(external.nats.url, "test")
    try:
        assert (await Streams(bus).stream_state("COMMANDS")).last_sequence > 0
    finally:
        await bus.close(1)


async def test_each_runner_does_all_the_work_while_the_other_is_paused(external: ExternalEngines, up: Up) -> None:
    """A session's commands run on whichever runner is there."""
    ran: list[str] = []
    async with up.grpc() as client:
        session = await connected_session(client, "shared")
        for name in RUNNERS:
            await eventually(lambda: len(external.rows(_LIVING)) == len(RUNNERS), 20)
            paused = up.endpoints["pids"][name]
            os.kill(paused, signal.SIGSTOP)
            try:
                ran.append(await _actor_of_one(client, session))
            finally:
                os.kill(paused, signal.SIGCONT)
    assert len(set(ran)) == len(RUNNERS), ran


_LIVING = "select runner_id from command.runners where dead_at is null and lease_until > clock_timestamp()"


async def _actor_of_one(client: Stubs, session: Session) -> str:
    """Runs a command of the session and returns the runner that ran it."""
    command = await submit(client, agent_id=session.agent_id)
    assert (await ended(client, command.command_id, 40)).state == COMMAND_STATE_SUCCEEDED
    started = await events_of(client, session.session_id, types=["command.started"])
    return next(event.actor for event in started if event.command_id == command.command_id)


async def test_ctrl_c_keeps_the_external_engines_and_their_data(external: ExternalEngines, up: Up) -> None:
    """The next `up` still has the sessions."""
    processes = up.processes()
    up.process.send_signal(signal.SIGINT)
    assert await up.ended() == 0, up.output.decode()
    assert not left_of(processes)
    assert process_started(external.nats.pid) is not None
    before = external.rows("select session_id from session.sessions order by 1")
    async with external.up() as again, again.http() as http:
        answer = await http.get("/api/v1/agent-sessions", params={"agentId": "guest"})
        assert [found["sessionId"] for found in answer.json()["sessions"]] == [
            name for (name,) in external.rows("select session_id from session.sessions where agent_id = 'guest'")
        ]
    assert external.rows("select session_id from session.sessions order by 1") == before
