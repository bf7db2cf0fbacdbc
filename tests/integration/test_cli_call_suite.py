"""`callboard call` with the real services: a session from its start to the end of its stream."""

from pathlib import Path
from typing import Any

import pytest

from services.cli.errors import CliError
from tests.support.cli_rig import call
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.suite import Suite
from tests.support.suite_fixtures import broker_url, command_replicas, suite

__all__ = ["broker_url", "command_replicas", "suite"]


class Caller:
    """Calls methods of the suite."""

    def __init__(self, suite: Suite, home: Path) -> None:
        self.environment = {
            "CALLBOARD_HOME": str(home), "CALLBOARD_SESSION_ADDRESS": suite.session_addresses[0],
            "CALLBOARD_COMMAND_ADDRESS": suite.command_addresses[0], "CALLBOARD_KEY": suite.key,
        }  # fmt: skip

    async def __call__(self, method: str, **request: Any) -> Any:
        (response,) = await call(self.environment, method, request)
        return response

    async def follow(self, **request: Any) -> list[Any]:
        return await call(self.environment, "StreamEvents", request)


@pytest.fixture
def caller(suite: Suite, tmp_path: Path) -> Caller:
    return Caller(suite, tmp_path)


async def test_session_can_be_started_used_stopped_and_followed(suite: Suite, caller: Caller) -> None:
    await suite.runner(ScriptedExecutor())
    agent = await caller("CreateAgent", agentId="clock", connector={"kind": "echo"})
    changed = await caller("UpdateAgent", agentId="clock", displayName="Clock", etag=agent["etag"])
    assert (changed["displayName"], changed["connector"]["kind"]) == ("Clock", "echo")
    started = await caller("StartSession", agentId="clock", context={"goal": "to try"})
    accepted = await caller("SubmitCommand", agentId="clock", type="echo", params={"text": "hi"}, requestId="key-1")
    again = await caller("SubmitCommand", agentId="clock", type="echo", params={"text": "hi"}, requestId="key-1")
    assert again == accepted

    async def is_done() -> bool:
        return bool((await caller("GetCommand", commandId=accepted["jobId"]))["state"] == "succeeded")

    await eventually(is_done)
    stopped = await caller("StopSession", sessionId=started["sessionId"])
    assert stopped["session"]["context"] == {"goal": "to try"}
    steps = await caller.follow(sessionId=started["sessionId"], **{"from": "start"})
    events = [one["event"]["type"] for step in steps if step["batch"] for one in step["batch"]["events"]]
    assert (events[0], events[-1], "command.completed" in events) == ("session.started", "session.stopped", True)
    assert steps[-1]["end"] == {}


async def test_violations_of_the_service_use_the_field_names_of_rest(caller: Caller) -> None:
    with pytest.raises(CliError) as caught:
        await caller("CreateAgent", agentId="clock", connector={"kind": "mcp"})
    assert str(caught.value) == "FIELD_INVALID: connector: server is required when kind is mcp"
    with pytest.raises(CliError, match="notBefore: "):
        await caller("SubmitCommand", agentId="clock", type="echo", notBefore="2199-01-01T00:00:00Z")


async def test_both_services_report_principal_and_readiness(suite: Suite, caller: Caller) -> None:
    for service in ("session", "command"):
        (principal,) = await call(caller.environment, "GetPrincipal", {}, service=service)
        assert (principal["tenantId"], principal["role"]) == ("acme", "admin")
        (readiness,) = await call(caller.environment, "GetReadiness", {}, service=service)
        assert set(readiness["parts"]) == {"database", "broker"}
