"""The logs of the processes."""

import pytest

from callboard import CallboardError
from callboard.commands.v1.commands_pb2 import GetCommandRequest
from tests.e2e.steps import connected_session, run_tool, stop
from tests.support.client_calls import ended
from tests.support.processes import Suite
from tests.support.suite_process import logs_of

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_logs_are_lines_of_json_without_secrets(suite: Suite) -> None:
    """Every line is a JSON object with time, level and service. Calls have their request id. No line has a key."""
    wrong = suite.key[:-4] + "AAAA"
    keys = [suite.key, wrong, suite.new_key("viewer"), suite.new_key("operator", "other")]
    client = suite.client()
    await connected_session(client, "logged", "trial")
    command = await run_tool(client, "logged", "fail", message=f"a tool that says the key {suite.key}")
    await ended(client, command.command_id)
    for key in keys:
        with pytest.raises(CallboardError):
            await suite.client(key).commands.GetCommand(GetCommandRequest(command_id="no such command"))
        answer = await suite.http(key).get("/api/v1/agents/nobody", headers={"X-Request-Id": f"ask-{len(key)}"})
        assert answer.status_code in (401, 404)
        assert answer.headers["x-request-id"] == f"ask-{len(key)}"
    answer = await suite.http().get("/api/v1/agents/nobody", headers={"X-Request-Id": "find-me-again"})
    assert answer.status_code == 404
    await stop(client, "logged")

    lines = logs_of(suite.services)
    for line in lines:
        assert {"event", "level", "time", "service"} <= line.keys(), line
    assert {line["service"] for line in lines} == {"session", "command", "runner", "gateway"}
    found = [line["service"] for line in lines if line.get("request_id") == "find-me-again"]
    assert set(found) == {"gateway", "session"}
    assert [line for line in lines if line.get("command_id") == command.command_id]
    for part in suite.parts:
        text = part.log.read_text()
        for key in keys:
            assert key not in text, part.name
            assert key.split("_", 2)[2] not in text, part.name
    for password in ("superuser-password", "app-password"):
        secret = (suite.folder / "postgres" / password).read_text().strip()
        assert not [part.name for part in suite.parts if secret in part.log.read_text()]
