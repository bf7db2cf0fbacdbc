"""Every route of the gateway: what it sends to the services, and what it answers."""

from collections.abc import AsyncIterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from callboard.agents.v1 import agents_pb2
from callboard.sessions.v1 import sessions_pb2
from tests.support.gateway_rig import Rig, gateway_rig
from tests.support.sample_requests import sample_routes
from tests.support.stub_messages import COMMAND_ID, a_session

NEW_AGENT = {"agentId": "clock", "connector": {"kind": "echo"}}
COMMAND = {"type": "run_tool", "params": {"tool": "t"}}
ONE, DEAD_LETTER = f"/api/v1/commands/{COMMAND_ID}", f"/api/v1/dead-letters/{COMMAND_ID}"
# Requests that the contract has no example of, or more of one route.
GIVEN: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/api/v1/agents", NEW_AGENT, 201, "CreateAgent"),
    ("POST", "/api/v1/agents/clock/start", {"title": "x"}, 201, "StartSession"),
    ("POST", "/api/v1/agents/clock/start", None, 201, "StartSession"),
    ("POST", "/api/v1/agents/clock/stop", {"reason": "done"}, 200, "StopSession"),
    ("POST", "/api/v1/agents/clock/restart", {"title": "x"}, 201, "RestartSession"),
    ("POST", "/api/v1/agents/clock/command", COMMAND, 202, "SubmitCommand"),
    ("POST", "/api/v1/agent-sessions/ses-1/events", {"events": [{"type": "custom.a"}]}, 201, "AppendEvents"),
    ("POST", "/api/v1/agent-sessions/ses-1/events", {"type": "custom.a", "level": "warn"}, 201, "AppendEvents"),
    ("POST", f"{ONE}/cancel", {"mode": "immediate", "grace": 1.5, "reason": "r"}, 200, "CancelCommand"),
    ("POST", f"{ONE}/cancel", {"mode": "kill"}, 200, "CancelCommand"),
    ("POST", "/api/v1/commands/cancel-by-key", {"idempotencyKey": "k", "reason": "r"}, 200, "CancelCommand"),
    ("POST", "/api/v1/commands/cancel", {"filter": {"agentId": "clock"}, "limit": 5}, 200, "CancelCommands"),
    ("POST", f"{DEAD_LETTER}/requeue", {}, 202, "RequeueDeadLetter"),
    ("POST", f"{DEAD_LETTER}/requeue", {"params": {"a": 1}, "maxAttempts": 2}, 202, "RequeueDeadLetter"),
    ("POST", "/api/v1/dead-letters/requeue", {"ids": ["a", "b"]}, 200, "RequeueDeadLetters"),
    ("POST", "/api/v1/dead-letters/requeue", {"filter": {}, "limit": 3, "dryRun": True}, 200, "RequeueDeadLetters"),
    ("POST", "/api/v1/dead-letters/purge", {"ids": ["a"]}, 200, "PurgeDeadLetters"),
    ("POST", "/api/v1/dead-letters/purge", {"filter": {"requeued": "any"}, "dryRun": True}, 200, "PurgeDeadLetters"),
]
NEED_A_BODY = {
    "/api/v1/commands/cancel-by-key", "/api/v1/commands/cancel", "/api/v1/dead-letters/requeue",
    "/api/v1/dead-letters/purge",
}  # fmt: skip
ROUTES = [*GIVEN, *(route for route in sample_routes() if route[1] not in NEED_A_BODY)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with gateway_rig() as made:
        yield made


async def _document(rig: Rig) -> dict[str, Any]:
    document: dict[str, Any] = (await rig.client.get("/openapi.json")).json()
    return document


def _described(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """The operation of the OpenAPI document that a path belongs to."""
    steps = path.split("/")
    for known, operations in document["paths"].items():
        words = known.split("/")
        alike = all(word == step or word.startswith("{") for word, step in zip(words, steps, strict=False))
        if len(words) == len(steps) and alike and method.lower() in operations:
            described: dict[str, Any] = operations[method.lower()]
            return described
    raise AssertionError(f"{method} {path} is not in the document")


def _check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


@pytest.mark.parametrize(("method", "path", "body", "status", "rpc"), ROUTES)
async def test_each_route_calls_its_method_and_answers_as_documented(
    rig: Rig, method: str, path: str, body: Any, status: int, rpc: str
) -> None:
    document = await _document(rig)
    described = _described(document, method, path)
    headers = {"Idempotency-Key": "key-1", "X-Request-Id": "req.1"}
    answer = await rig.call(method, path, headers=headers, **({"json": body} if body is not None else {}))
    assert answer.status_code == status, answer.text
    heard = rig.script.last(rpc)
    assert heard.metadata["authorization"] == rig.auth()["Authorization"]
    assert heard.metadata["x-request-id"] == answer.headers["x-request-id"] == "req.1"
    assert heard.metadata["x-callboard-client-address"] == "127.0.0.1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    documented = described["responses"][str(status)]
    if method != "GET":
        assert answer.headers["idempotency-key"] == "key-1"
        assert "key-1" in str(heard.request)
    for name in documented["headers"]:
        assert name in answer.headers
    if body is not None:
        _check(document, described["requestBody"]["content"]["application/json"]["schema"], body)
    if status == 204:
        assert answer.content == b""
    else:
        _check(document, documented["content"]["application/json"]["schema"], answer.json())


async def test_openapi_document_describes_exactly_the_routes(rig: Rig) -> None:
    document = await _document(rig)
    tried = {id(_described(document, method, path)) for method, path, *_ in ROUTES}
    tried |= {id(_described(document, "GET", "/api/v1/agents/clock/events"))}
    documented = {
        id(operation)
        for path, operations in document["paths"].items()
        if path.startswith("/api/")
        for operation in operations.values()
    }
    assert documented == tried
    names = [one["operationId"] for operations in document["paths"].values() for one in operations.values()]
    assert len(names) == len(set(names))
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def test_agent_is_written_with_all_of_its_fields(rig: Rig) -> None:
    answer = await rig.call("GET", "/api/v1/agents/clock")
    assert answer.headers["etag"] == '"7"'
    assert answer.json() == {
        "agentId": "clock", "displayName": None, "connector": {"kind": "echo", "server": None}, "exclusive": True,
        "labels": {"team": "blue"}, "etag": "7", "createdAt": "2026-01-31T09:30:00.500000Z",
        "updatedAt": "2026-01-31T09:31:00.000000Z",
    }  # fmt: skip


async def test_update_sends_the_mask_of_its_fields_and_the_etag(rig: Rig) -> None:
    await rig.call("PATCH", "/api/v1/agents/clock", json={"exclusive": False}, headers={"If-Match": '"7"'})
    said = rig.script.said("UpdateAgent")
    assert list(said.update_mask.paths) == ["exclusive"]
    assert (said.agent.agent_id, said.agent.etag, said.agent.exclusive) == ("clock", "7", False)
    await rig.call("DELETE", "/api/v1/agents/clock", headers={"If-Match": "*"})
    assert rig.script.said("DeleteAgent").etag == ""


async def test_start_that_finds_a_live_session_gets_200(rig: Rig) -> None:
    rig.script.answers["StartSession"] = sessions_pb2.StartSessionResponse(session=a_session())
    answer = await rig.call("POST", "/api/v1/agents/clock/start", json={"restart": True})
    assert answer.status_code == 200
    assert answer.json()["sessionId"] == "ses-1"
    assert answer.json()["status"] == "active"
    assert answer.json()["session"]["state"] == "running"
    assert rig.script.said("StartSession").on_conflict == sessions_pb2.ON_CONFLICT_RESTART


async def test_stop_without_a_live_session_answers_null_for_the_session(rig: Rig) -> None:
    rig.script.answers["StopSession"] = sessions_pb2.StopSessionResponse()
    answer = await rig.call("POST", "/api/v1/agents/clock/stop")
    assert answer.json() == {"sessionId": None, "status": "stopped", "session": None}


async def test_restart_without_a_spec_sends_none(rig: Rig) -> None:
    await rig.call("POST", "/api/v1/agents/clock/restart", json={"reason": "stuck"})
    assert not rig.script.said("RestartSession").HasField("spec")


async def test_submit_sends_all_options_of_a_command(rig: Rig) -> None:
    body = {
        "type": "run_tool", "params": {"big": 123456789012345678901234567890}, "correlationId": "c:1", "attempts": 5,
        "timeout": "30s", "backoff": 0.25, "maxBackoff": 60, "priority": "high", "retryToolErrors": True,
        "notBefore": "2026-06-01T10:00:00.5+02:00", "orderingKey": "k",
    }  # fmt: skip
    answer = await rig.call("POST", "/api/v1/agents/clock/command", json=body)
    assert answer.json() == {"jobId": COMMAND_ID, "commandId": COMMAND_ID, "correlationId": "cor-1"}
    command = rig.script.said("SubmitCommand").command
    assert command.agent_id == "clock"
    assert command.params_json == '{"big":123456789012345678901234567890}'
    options = command.options
    assert (options.max_attempts, options.priority, options.ordering_key) == (5, 1, "k")
    assert (options.timeout.seconds, options.backoff.nanos, options.max_backoff.seconds) == (30, 250_000_000, 60)
    assert options.not_before.ToJsonString() == "2026-06-01T08:00:00.500Z"
    assert options.retry_tool_errors


async def test_requeued_command_names_the_old_one(rig: Rig) -> None:
    answer = await rig.call("POST", f"{DEAD_LETTER}/requeue")
    assert answer.json()["requeuedFrom"] == COMMAND_ID


async def test_attempts_are_in_a_single_dead_letter_and_not_in_lists(rig: Rig) -> None:
    one = (await rig.call("GET", DEAD_LETTER)).json()
    (listed,) = (await rig.call("GET", "/api/v1/dead-letters")).json()["deadLetters"]
    assert one["attempts"][0]["error"]["code"] == one["reason"] == "TOOL_ERROR"
    assert one["id"] == listed["id"] == COMMAND_ID
    assert "attempts" not in listed


async def test_list_of_sessions_passes_every_filter_to_the_service(rig: Rig) -> None:
    query = (
        "agentId=clock&state=init,running&state=timeout&sessionType=audit&mode=m&userId=u&channelId=c&resourceId=r"
        "&taskId=t&label=team:blue&label=a:b,c:d&createdAfter=2026-01-01T00:00:00Z&createdBefore=2026-02-01T00:00:00Z"
        "&pageSize=7&pageToken=p"
    )
    answer = await rig.call("GET", f"/api/v1/agent-sessions?{query}", role="viewer")
    assert answer.status_code == 200
    assert answer.json()["count"] == 1
    said = rig.script.said("ListSessions")
    assert list(said.states) == [1, 2, 7]
    assert dict(said.labels) == {"team": "blue", "a": "b,c:d"}
    assert (said.agent_id, said.session_type, said.page_size, said.page_token) == ("clock", 4, 7, "p")
    assert said.created_before.seconds - said.created_after.seconds == 31 * 86400


async def test_lists_of_commands_events_and_dead_letters_pass_their_filters(rig: Rig) -> None:
    await rig.call("GET", "/api/v1/commands?agentId=a&sessionId=s&state=failed,cancelled&type=run_tool&correlationId=c")
    said = rig.script.said("ListCommands")
    assert (said.agent_id, said.session_id, list(said.states), said.type) == ("a", "s", [7, 8], "run_tool")
    await rig.call("GET", "/api/v1/agent-sessions/ses-1/events?types=command.*,custom.a&levels=warn&levels=error")
    said = rig.script.said("ListEvents")
    assert (list(said.types), list(said.levels)) == (["command.*", "custom.a"], [2, 3])
    await rig.call("GET", "/api/v1/dead-letters?reason=TOOL_ERROR&agentId=a")
    assert list(rig.script.said("ListDeadLetters").reasons) == [64]


async def test_ids_in_paths_can_be_percent_encoded(rig: Rig) -> None:
    await rig.call("GET", "/api/v1/agents/cl%6Fck")
    assert rig.script.said("GetAgent") == agents_pb2.GetAgentRequest(agent_id="clock")
    assert (await rig.call("GET", "/api/v1/agents/cl%2Fock")).status_code == 400


async def test_gateway_serves_docs_health_and_metrics_itself(rig: Rig) -> None:
    page = await rig.client.get("/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert (await rig.client.get("/healthz")).json() == {"status": "ok"}
    assert (await rig.client.head("/healthz")).status_code == 200
    await rig.call("GET", "/api/v1/agents")
    assert (
        'callboard_http_requests_total{operation="listAgents",status="200"} 1.0'
        in (await rig.client.get("/metrics")).text
    )


async def test_readiness_needs_all_parts_once_and_then_only_the_database(rig: Rig) -> None:
    rig.script.broker_is_up = False
    assert (await rig.client.get("/readyz")).status_code == 503
    rig.script.broker_is_up = True
    ready = await rig.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["parts"] == dict.fromkeys(("broker", "database", "session", "command"), "ready")
    rig.script.broker_is_up = False
    degraded = await rig.client.get("/readyz")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    rig.script.database_is_up = False
    assert (await rig.client.get("/readyz")).status_code == 503
    rig.script.database_is_up = rig.script.broker_is_up = True
    await rig.command.stop(0)
    gone = await rig.client.get("/readyz")
    assert (gone.status_code, gone.json()["parts"]["command"]) == (503, "notReady")
