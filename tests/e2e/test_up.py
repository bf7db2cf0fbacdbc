"""The main story of a user: `callboard up` on an empty home, a session over REST and over gRPC, Ctrl-C."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import orjson
import pytest
import pytest_asyncio

from callboard.commands.v1.commands_pb2 import COMMAND_STATE_RUNNING, COMMAND_STATE_SUCCEEDED
from tests.e2e.steps import connected_session, run_tool, stop
from tests.e2e.up_rig import HomeWithUp, Up, left_of, started
from tests.support.client_calls import ended, in_state
from tests.support.engines import reachable_home
from tests.support.eventually import eventually
from tests.support.server_sent_events import Frame, frames_of
from tests.support.streamed_events import Collector

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow(24)]
STORY = [
    "session.started", "agent.connected", "command.enqueued", "command.started", "command.completed", "session.stopped",
]  # fmt: skip
CLOCK = {"agentId": "clock", "displayName": "Clock", "connector": {"kind": "mcp", "server": "time"}}
COMMAND = {"type": "run_tool", "params": {"tool": "get_current_time", "arguments": {"timezone": "UTC"}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home_with_up() -> AsyncIterator[HomeWithUp]:
    with reachable_home() as folder:
        async with HomeWithUp(folder / "made" / "by-up", CALLBOARD_DRAIN="1") as made:
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def up(home_with_up: HomeWithUp) -> Up:
    return await home_with_up.up()


async def _follow(http: httpx2.AsyncClient, session_id: str, frames: list[Frame]) -> None:
    path = f"/api/v1/agent-sessions/{session_id}/events"
    async with http.stream("GET", path, headers={"Accept": "text/event-stream"}, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for frame in frames_of(answer):
            frames.append(frame)  # noqa: PERF401 - the caller watches the list grow


async def test_user_story_works_over_rest(up: Up) -> None:
    """`up` prints where the API and the key are. With these, an agent is created, started, commanded and stopped."""
    assert up.endpoints["http"].encode() in up.output
    assert str(up.home / "dev-key").encode() in up.output
    assert (up.home / "dev-key").stat().st_mode & 0o777 == 0o600
    async with up.http() as http:
        assert (await http.get("/readyz")).json()["status"] == "ready"
        created = await http.post("/api/v1/agents", json=CLOCK)
        assert created.status_code == 201, created.text
        begun = await http.post("/api/v1/agents/clock/start")
        assert (begun.status_code, begun.json()["status"]) == (201, "active")
        again = await http.post("/api/v1/agents/clock/start")
        session_id = begun.json()["sessionId"]
        assert (again.status_code, again.json()["sessionId"]) == (200, session_id)

        frames: list[Frame] = []
        following = asyncio.create_task(_follow(http, session_id, frames))
        await eventually(lambda: [frame for frame in frames if frame.event == "agent.connected"], 20)
        accepted = await http.post("/api/v1/agents/clock/command", json=COMMAND)
        assert accepted.status_code == 202, accepted.text
        assert accepted.json()["jobId"] == accepted.json()["commandId"]
        await eventually(lambda: [frame for frame in frames if frame.event == "command.completed"], 20)
        command = (await http.get(f"/api/v1/commands/{accepted.json()['jobId']}")).json()
        assert command["state"] == "succeeded"
        assert orjson.loads(command["result"]["content"][0]["text"])["timezone"] == "UTC"

        stopped = await http.post("/api/v1/agents/clock/stop")
        assert (stopped.status_code, stopped.json()["status"]) == (200, "stopped")
        assert stopped.json()["session"]["state"] == "stopped"
        await asyncio.wait_for(following, 10)
        assert [frame.event for frame in frames] == STORY
        assert [frame.data["seq"] for frame in frames] == list(range(1, len(STORY) + 1))
        headers = {"Accept": "text/event-stream", "Last-Event-ID": frames[-1].id}
        assert (await http.get(f"/api/v1/agent-sessions/{session_id}/events", headers=headers)).status_code == 204
        nothing = await http.post("/api/v1/agents/clock/stop")
        assert (nothing.status_code, nothing.json()["sessionId"], nothing.json()["session"]) == (200, None, None)
        late = await http.post("/api/v1/agents/clock/command", json=COMMAND)
        assert (late.status_code, late.json()["reason"]) == (409, "SESSION_NOT_ACTIVE")
        assert late.headers["content-type"] == "application/problem+json"


async def test_user_story_works_over_grpc(up: Up) -> None:
    """The same story over gRPC with the public client has the same events."""
    async with up.grpc() as client:
        session = await connected_session(client, "caller", "time")
        collector = Collector()
        following = asyncio.create_task(collector.receive(client, session_id=session.session_id, seconds=60))
        command = await run_tool(client, "caller", "get_current_time", timezone="UTC")
        done = await ended(client, command.command_id)
        assert done.state == COMMAND_STATE_SUCCEEDED, done
        assert orjson.loads(orjson.loads(done.result_json)["content"][0]["text"])["timezone"] == "UTC"
        await stop(client, "caller")
        await asyncio.wait_for(following, 10)
    assert [event.type for event in collector.events] == STORY
    assert collector.ended


async def test_second_up_on_the_same_home_is_rejected(up: Up) -> None:
    """A home in use is rejected with the pid of its `up`, which continues undisturbed."""
    async with started(up.home) as second:
        assert await second.ended() == 1
    assert f"already in use by process {up.process.pid}" in second.output.decode()
    async with up.http() as http:
        assert (await http.get("/readyz")).status_code == 200


async def test_port_in_use_is_rejected_naming_its_variable(tmp_path: Path) -> None:
    """A port in use is rejected with the name of its variable, before anything starts."""
    for variable in ("CALLBOARD_HTTP_PORT", "CALLBOARD_SESSION_PORT", "CALLBOARD_COMMAND_PORT"):
        with socket.create_server(("127.0.0.1", 0)) as server:
            taken = str(server.getsockname()[1])
            async with started(tmp_path / "home", **{variable: taken}) as up:
                assert await up.ended() == 2
        assert f"{variable}: port {taken} is taken" in up.output.decode()
    assert not (tmp_path / "home" / "postgres").exists()


async def _end_a_busy_one(home_with_up: HomeWithUp) -> str:
    """Ends an `up` with a running session by Ctrl-C, and returns the session's id."""
    up = await home_with_up.up()
    async with up.grpc() as client:
        session = await connected_session(client, "busy", "trial")
        command = await run_tool(client, "busy", "sleep", seconds=60)
        await in_state(client, command.command_id, COMMAND_STATE_RUNNING)
    processes = up.processes()
    assert len(processes) > len(up.endpoints["pids"]), "the tool is among them"
    up.process.send_signal(signal.SIGINT)
    assert await up.ended() == 0, up.output.decode()
    assert not left_of(processes)
    assert not (up.home / "endpoints.json").exists()
    home_with_up.kept = session.session_id
    return session.session_id


async def test_ctrl_c_ends_every_process(home_with_up: HomeWithUp) -> None:
    """Ctrl-C ends every process, including those of running tools, and `up` exits with 0."""
    await _end_a_busy_one(home_with_up)


async def test_next_up_keeps_the_state_and_a_killed_up_leaves_nothing(home_with_up: HomeWithUp) -> None:
    """The next `up` on a home still has its sessions and key. When it is killed, its processes end by themselves."""
    session_id = home_with_up.kept or await _end_a_busy_one(home_with_up)
    key = (home_with_up.home / "dev-key").read_text().strip()
    up = await home_with_up.up()
    assert up.key == key
    async with up.http() as http:
        found = (await http.get(f"/api/v1/agent-sessions/{session_id}")).json()
        assert (found["state"], found["agentId"]) == ("running", "busy")
        work = {"type": "run_tool", "params": {"tool": "echo", "arguments": {"text": "again"}}}
        accepted = await http.post("/api/v1/agents/busy/command", json=work)
    async with up.grpc() as client:
        assert (await ended(client, accepted.json()["jobId"])).state == COMMAND_STATE_SUCCEEDED
    processes = up.processes()
    up.process.kill()
    await up.ended()
    await eventually(lambda: not left_of(processes), 20)
