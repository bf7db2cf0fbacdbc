"""The tool server over HTTP has the requested fault, and records what it did."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from libs.attempts import FailureCode
from tests.chaos.journal import read_rows
from tests.chaos.tool_servers import bad_answers, http_tools
from tests.support.mcp_servers import Recorder, connected, failure_of, tool
from tests.support.suite_process import SuiteProcess


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SuiteProcess]:
    part = http_tools(tmp_path)
    await part.start()
    yield part
    await part.clear()


def _phases(folder: Path) -> list[str]:
    return [line["phase"] for line in read_rows(folder / "effects.jsonl")]


@pytest.mark.parametrize(
    ("fault", "code", "phases"),
    [
        ("429", FailureCode.AGENT_UNAVAILABLE, set()),
        ("500", FailureCode.AGENT_PROTOCOL_ERROR, set()),
        ("redirect", FailureCode.AGENT_PROTOCOL_ERROR, set()),
        ("hang", FailureCode.COMMAND_TIMEOUT, set()),
        ("break", FailureCode.CONNECTION_LOST, {"start", "end"}),
    ],
)
async def test_fault_fails_commands_while_it_lasts(
    tmp_path: Path, server: SuiteProcess, fault: str, code: FailureCode, phases: set[str]
) -> None:
    async with connected(tmp_path, {"transport": "http", "url": f"http://{server.address}/mcp"}, grace=1) as connection:
        with bad_answers(tmp_path, fault):
            failure = await failure_of(connection, tool("work", {"seconds": 0}, timeout=1 if fault == "hang" else 30))
        assert (failure.code, set(_phases(tmp_path))) == (code, phases)


async def test_server_works_without_a_fault(tmp_path: Path, server: SuiteProcess) -> None:
    async with connected(tmp_path, {"transport": "http", "url": f"http://{server.address}/mcp"}) as connection:
        await connection.execute(tool("work", {"seconds": 0}), Recorder())
    assert _phases(tmp_path) == ["start", "end"]


async def test_followed_redirect_is_recorded(tmp_path: Path, server: SuiteProcess) -> None:
    with bad_answers(tmp_path, "redirect"):
        async with httpx2.AsyncClient(follow_redirects=True, trust_env=False) as client:
            answer = await client.post(f"http://{server.address}/mcp", json={})
    assert answer.status_code == httpx2.codes.OK
    assert _phases(tmp_path) == ["followed"]
