"""No process of a stdio server is left behind: not by a killed runner, and not after many connections."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from libs.attempts import FailureCode
from services.runner.executors.ports import Connector
from tests.support.eventually import eventually
from tests.support.mcp_servers import (
    MISBEHAVING,
    SESSION,
    Recorder,
    connected,
    executor,
    failure_of,
    nothing_runs,
    recorded_pids,
    runs,
    stdio,
    text_of,
    tool,
)
from tests.support.misbehaving_connections import exists

RUNNER = """
import asyncio, sys
from pathlib import Path
from services.runner.executors.ports import Connector
from tests.support.mcp_servers import MISBEHAVING, SESSION, executor, stdio

async def main():
    await executor(Path(sys.argv[1]), one=stdio(MISBEHAVING, sys.argv[2], sys.argv[3])).connect(SESSION, Connector("mcp", "one"))
    print("connected", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""  # noqa: E501


def cwd_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/cwd").readlink())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def killed_runner(folder: Path, mode: str, record: Path) -> None:
    """Run a runner that connects to an odd server, and kill it with SIGKILL."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", RUNNER, str(folder), mode, str(record)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as runner:
        assert runner.stdout
        assert runner.stdout.readline() == b"connected\n"
        runner.kill()


async def test_servers_die_with_their_runner(tmp_path: Path, record: Path) -> None:
    await asyncio.to_thread(killed_runner, tmp_path, "deaf", record)
    await eventually(lambda: nothing_runs(record))


@pytest.mark.parametrize("mode", ["parent", "runaway"])
async def test_sweep_kills_the_processes_of_a_dead_runner(tmp_path: Path, record: Path, mode: str) -> None:
    await asyncio.to_thread(killed_runner, tmp_path, mode, record)
    server, grandchild = recorded_pids(record)
    await eventually(lambda: not runs(server))
    assert runs(grandchild)
    directory = cwd_of(grandchild)
    assert exists(directory)
    assert grandchild in await executor(tmp_path).sweep()
    await eventually(lambda: nothing_runs(record))
    assert not exists(directory)


async def test_sweep_kills_runaways_of_closed_connections_only(tmp_path: Path, record: Path) -> None:
    mcp = executor(tmp_path, one=stdio(MISBEHAVING, "runaway", str(record)))
    connection = await mcp.connect(SESSION, Connector("mcp", "one"))
    server, runaway = recorded_pids(record)
    assert not {server, runaway} & set(await mcp.sweep())
    await connection.close(1)
    assert runs(runaway)
    assert runaway in await mcp.sweep()
    await eventually(lambda: nothing_runs(record))


async def test_hundred_connections_leak_no_process_task_or_descriptor(tmp_path: Path, record: Path) -> None:
    mcp = executor(tmp_path, one=stdio(MISBEHAVING, "plain", str(record)))
    tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
    for _ in range(10):
        connections = await asyncio.gather(*(mcp.connect(SESSION, Connector("mcp", "one")) for _ in range(10)))
        running = [asyncio.create_task(c.execute(tool("hold"), Recorder())) for c in connections]
        await asyncio.sleep(0)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.gather(*(connection.close(2) for connection in connections))
    assert len(recorded_pids(record)) == 100
    assert nothing_runs(record)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    await eventually(lambda: open_descriptors() <= descriptors + 1)


def test_connections_work_on_uvloop(tmp_path: Path, record: Path) -> None:
    async def story() -> None:
        async with connected(tmp_path, stdio(MISBEHAVING, "parent", str(record))) as connection:
            assert text_of(await connection.execute(tool("answer"), Recorder())) == "an answer"
            failure = await failure_of(connection, tool("hold", timeout=0.1))
            assert failure.code is FailureCode.COMMAND_TIMEOUT
            await connection.close(1)
        assert nothing_runs(record)
        async with connected(tmp_path, stdio(MISBEHAVING, "plain")) as connection:
            assert text_of(await connection.execute(tool("last"), Recorder())) == "last words"
            await asyncio.wait_for(connection.lost.wait(), 5)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
