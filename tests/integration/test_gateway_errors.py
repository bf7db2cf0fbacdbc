"""The errors of the gateway: when it rejects a call, in which order, and with which problem document."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from callboard.commands.v1 import commands_pb2
from libs.errors import HTTP_STATUS, FieldViolation, Reason, ServiceError
from tests.support.eventually import eventually
from tests.support.gateway_rig import Rig, gateway_rig

AGENTS, COMMAND = "/api/v1/agents", "/api/v1/agents/clock/command"
MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
OURS = [reason for reason in Reason if reason not in (Reason.ROUTE_NOT_FOUND, Reason.METHOD_NOT_ALLOWED)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with gateway_rig() as made:
        yield made


def _problem(answer: Any, status: int, reason: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "reason", "errors", "instance"} <= set(problem)
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert problem["type"] == f"urn:callboard:problem:{reason.lower().replace('_', '-')}"
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    return problem


async def test_each_reason_of_a_service_has_its_status(rig: Rig) -> None:
    for reason in OURS:
        rig.script.answers["GetAgent"] = ServiceError(reason, "for this reason", metadata={"agent_id": "clock"})
        answer = await rig.call("GET", f"{AGENTS}/clock")
        problem = _problem(answer, HTTP_STATUS[reason], reason)
        assert (problem["detail"], problem["agentId"]) == ("for this reason", "clock")
        assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
        assert ("retry-after" in answer.headers) == (answer.status_code in (429, 503))


async def test_internal_error_is_answered_with_a_constant_text(rig: Rig) -> None:
    rig.script.answers["GetAgent"] = lambda _: 1 / 0
    problem = _problem(await rig.call("GET", f"{AGENTS}/clock"), 500, "INTERNAL")
    assert "division" not in str(problem)
    rig.script.answers["GetCommand"] = commands_pb2.GetCommandResponse()  # an enum value that does not exist
    answer = await rig.call("GET", "/api/v1/commands/c")
    problem = _problem(answer, 500, "INTERNAL")
    assert "KeyError" not in str(problem)
    assert problem["requestId"] == answer.headers["x-request-id"]


async def test_unreachable_service_gets_503(rig: Rig) -> None:
    await rig.command.stop(0)
    answer = await rig.call("GET", "/api/v1/commands/c")
    _problem(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_call_that_takes_too_long_gets_503() -> None:
    async with gateway_rig(call_timeout=0.2) as rig:
        rig.script.answers["GetAgent"] = lambda _: asyncio.Event().wait()
        _problem(await rig.call("GET", f"{AGENTS}/clock"), 503, "DEADLINE_EXCEEDED")


async def test_unknown_route_gets_404_and_unknown_method_405(rig: Rig) -> None:
    _problem(await rig.client.get("/nope"), 404, "ROUTE_NOT_FOUND")
    for path in ("/api/v1/nope", "/api/v1/agents/", "/api/v1/agents/clock/nope", "/api/v2/agents", "/api/v1//agents"):
        _problem(await rig.call("GET", path), 404, "ROUTE_NOT_FOUND")
    answer = await rig.call("PUT", f"{AGENTS}/clock")
    _problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"
    assert (await rig.client.post("/healthz")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "header", ["Basic abc", "Bearer", "Bearer a b", "Bearer cb_unknown_key", "Bearer " + "x" * 5000]
)
async def test_wrong_key_gets_401(rig: Rig, header: str) -> None:
    answer = await rig.client.get(AGENTS, headers={"Authorization": header})
    _problem(answer, 401, "CREDENTIALS_INVALID")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_missing_key_gets_401_with_the_idempotency_key(rig: Rig) -> None:
    answer = await rig.client.post(AGENTS, headers={"Idempotency-Key": "k"})
    _problem(answer, 401, "CREDENTIALS_MISSING")
    assert answer.headers["idempotency-key"] == "k"


async def test_principals_are_cached_for_two_seconds_and_looked_up_once(rig: Rig) -> None:
    answers = await asyncio.gather(*(rig.call("GET", AGENTS) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert rig.script.count("GetPrincipal") == 1


async def test_errors_are_decided_in_order(rig: Rig) -> None:
    rig.script.answers["CreateAgent"] = ServiceError(Reason.AGENT_EXISTS, "taken")
    wrong, large = b'{"nope": 1}', b" " * (MIB + 1)
    viewer = rig.auth("viewer")

    async def post(content: bytes, **headers: str) -> Any:
        return await rig.client.post(AGENTS, content=content, headers={**JSON, **headers})

    _problem(await post(large), 401, "CREDENTIALS_MISSING")
    _problem(await post(large, **viewer, **{"Idempotency-Key": "a b"}), 413, "PAYLOAD_TOO_LARGE")
    _problem(await post(wrong, **viewer), 400, "FIELD_INVALID")
    right = b'{"agentId": "clock", "connector": {"kind": "echo"}}'
    problem = _problem(await post(right, **viewer), 403, "ROLE_REQUIRED")
    assert problem["requiredRole"] == "admin"
    assert rig.script.count("CreateAgent") == 0
    _problem(await post(right, **rig.auth()), 409, "AGENT_EXISTS")


async def test_violation_of_a_service_rule_is_reported_before_a_missing_role(rig: Rig) -> None:
    for body, field in (({"type": "a", "timeout": "0.5s"}, "timeout"), ({"type": "a", "backoff": "2h"}, "backoff")):
        answer = await rig.call("POST", COMMAND, role="viewer", json=body)
        assert [error["field"] for error in _problem(answer, 400, "FIELD_INVALID")["errors"]] == [field]
    _problem(await rig.call("POST", COMMAND, role="viewer", json={"type": "a"}), 403, "ROLE_REQUIRED")
    assert rig.script.count("SubmitCommand") == 0


async def test_revoked_key_is_rejected_after_five_seconds(rig: Rig) -> None:
    key = rig.keys.add("viewer")
    headers = {"Authorization": f"Bearer {key.secret_text}"}
    assert (await rig.client.get(AGENTS, headers=headers)).status_code == 200
    rig.keys.revoke(key)
    began = time.monotonic()

    async def is_rejected() -> bool:
        return (await rig.client.get(AGENTS, headers=headers)).status_code == 401

    await eventually(is_rejected)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("method", "path", "role", "status"),
    [
        ("POST", AGENTS, "operator", 403),
        ("DELETE", f"{AGENTS}/clock", "operator", 403),
        ("POST", f"{AGENTS}/clock/start", "viewer", 403),
        ("POST", f"{AGENTS}/clock/start", "operator", 201),
        ("GET", AGENTS, "viewer", 200),
        ("POST", "/api/v1/dead-letters/c/requeue", "viewer", 403),
        ("DELETE", "/api/v1/dead-letters/c", "operator", 403),
        ("DELETE", "/api/v1/dead-letters/c", "admin", 204),
    ],
)
async def test_roles_are_those_of_the_contract(rig: Rig, method: str, path: str, role: str, status: int) -> None:
    body: dict[str, Any] = (
        {"json": {"agentId": "a", "connector": {"kind": "echo"}}} if path == AGENTS and method == "POST" else {}
    )
    assert (await rig.call(method, path, role=role, **body)).status_code == status


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", None),
        (b"{", ""),
        (b"[]", ""),
        (b"null", ""),
        (b'{"type": "a", "type": "b"}', "type"),
        (b'{"type": "a", "params": {"x": NaN}}', ""),
        (b'{"type": "a", "params": {"x": -Infinity}}', ""),
        (b'{"type": "a", "params": {"x": 1e999}}', ""),
        (b'{"type": "a", "params": {"x": ' + b"9" * 5000 + b"}}", ""),
        (b'{"type": "a", "params": ' + b'{"x":' * 64 + b"1" + b"}" * 64 + b"}", ""),
        (b'{"type": "a", "params": ' + b"[" * 100_000, ""),
        (b'{"type": "a", "params": {"x": "\\u0000"}}', "params.x"),
        (b'{"type": "a", "params": {"x": ["\\ud800"]}}', "params.x[0]"),
        (b'{"type": "a", "params": {"x": "\xff"}}', ""),
    ],
)
async def test_invalid_json_gets_400(rig: Rig, content: bytes, field: str | None) -> None:
    answer = await rig.call("POST", COMMAND, content=content, headers=JSON)
    problem = _problem(answer, 400, "JSON_INVALID")
    assert [error["field"] for error in problem["errors"]] == ([] if field is None else [field])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "type"),
        ({"type": "a", "nope": 1}, "nope"),
        ({"type": 1}, "type"),
        ({"type": "Wrong Type"}, "type"),
        ({"type": "a", "params": []}, "params"),
        ({"type": "a", "maxAttempts": "3"}, "maxAttempts"),
        ({"type": "a", "maxAttempts": 26}, "maxAttempts"),
        ({"type": "a", "maxAttempts": True}, "maxAttempts"),
        ({"type": "a", "timeout": "30"}, "timeout"),
        ({"type": "a", "timeout": -1}, "timeout"),
        ({"type": "a", "timeout": "0.5s"}, "timeout"),  # a rule of the service
        ({"type": "a", "priority": "urgent"}, "priority"),
        ({"type": "a", "notBefore": "tomorrow"}, "notBefore"),
        ({"type": "a", "max_attempts": 3}, "max_attempts"),
        ({"type": "a", "attempts": 3, "maxAttempts": 4}, ""),
    ],
)
async def test_invalid_field_gets_400_with_its_name_in_rest(rig: Rig, body: Any, field: str) -> None:
    problem = _problem(await rig.call("POST", COMMAND, json=body), 400, "FIELD_INVALID")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["rule"]


async def test_violations_of_a_service_use_the_field_names_of_rest(rig: Rig) -> None:
    violations = [
        FieldViolation("command.options.max_backoff", "too long"),
        FieldViolation("command.params_json", "must be JSON"),
        FieldViolation("request_id", "wrong"),
    ]
    rig.script.answers["SubmitCommand"] = ServiceError(Reason.FIELD_INVALID, "three things", violations=violations)
    problem = _problem(await rig.call("POST", COMMAND, json={"type": "a"}), 400, "FIELD_INVALID")
    assert [error["field"] for error in problem["errors"]] == ["maxBackoff", "params", "Idempotency-Key"]
    assert "max_backoff" not in problem["detail"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{AGENTS}?nope=1", "nope"),
        (f"{AGENTS}?pageSize=0", "pageSize"),
        (f"{AGENTS}?pageSize=501", "pageSize"),
        (f"{AGENTS}?pageSize=x", "pageSize"),
        (f"{AGENTS}?pageSize=1&pageSize=2", "pageSize"),
        (f"{AGENTS}?pageToken=%00", "pageToken"),
        ("/api/v1/agent-sessions?state=active", "state[0]"),
        ("/api/v1/agent-sessions?label=team", "label"),
        ("/api/v1/agent-sessions?createdAfter=now", "createdAfter"),
        ("/api/v1/agent-sessions/ses-1/events?from=now", "from"),
        ("/api/v1/agent-sessions/ses-1/events?levels=info,loud", "levels[1]"),
        ("/api/v1/dead-letters?reason=NOPE", "reason"),
        ("/api/v1/agents/-clock", "agentId"),
        ("/api/v1/agent-sessions/%00", "sessionId"),
        ("/api/v1/commands/%20", "commandId"),
        ("/api/v1/agents?pageToken=%ff", None),
    ],
)
async def test_invalid_parameter_gets_400(rig: Rig, path: str, field: str | None) -> None:
    problem = _problem(await rig.call("GET", path), 400, "FIELD_INVALID")
    assert [error["field"] for error in problem["errors"]] == ([] if field is None else [field])


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_other_media_type_gets_415(rig: Rig, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await rig.call("POST", COMMAND, content=b'{"type": "a"}', headers=headers)
    _problem(answer, 415, "MEDIA_TYPE_UNSUPPORTED")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/JSON", "application/vnd.a+json"])
async def test_every_media_type_of_json_is_accepted(rig: Rig, kind: str) -> None:
    answer = await rig.call("POST", COMMAND, content=b'{"type": "a"}', headers={"Content-Type": kind})
    assert answer.status_code == 202


@pytest.mark.parametrize("key", ["", "a b", "x" * 129])
async def test_invalid_idempotency_key_gets_400_and_is_not_echoed(rig: Rig, key: str) -> None:
    answer = await rig.call("POST", COMMAND, json={"type": "a"}, headers={"Idempotency-Key": key})
    problem = _problem(answer, 400, "FIELD_INVALID")
    assert problem["errors"][0]["field"] == "Idempotency-Key"
    assert "idempotency-key" not in answer.headers


async def test_malformed_etag_gets_400_and_a_mismatch_412(rig: Rig) -> None:
    path = f"{AGENTS}/clock"
    answer = await rig.call("DELETE", path, headers={"If-Match": "7"})
    assert _problem(answer, 400, "FIELD_INVALID")["errors"][0]["field"] == "If-Match"
    rig.script.answers["DeleteAgent"] = ServiceError(Reason.ETAG_MISMATCH, "changed", metadata={"etag": "8"})
    answer = await rig.call("DELETE", path, headers={"If-Match": '"7"'})
    assert _problem(answer, 412, "ETAG_MISMATCH")["etag"] == "8"


async def test_invalid_request_id_is_replaced(rig: Rig) -> None:
    answer = await rig.client.get("/healthz", headers={"X-Request-Id": "a b"})
    assert answer.headers["x-request-id"] != "a b"
    answer = await rig.client.get("/healthz", headers={"X-Request-Id": "a-b"})
    assert answer.headers["x-request-id"] == "a-b"


async def test_problems_match_the_openapi_document(rig: Rig) -> None:
    document = (await rig.client.get("/openapi.json")).json()
    responses = document["paths"]["/api/v1/agents"]["post"]["responses"]
    assert {"400", "401", "403", "409", "413", "415", "422", "429", "500", "503"} <= set(responses)
    schema = {**responses["400"]["content"]["application/problem+json"]["schema"], "components": document["components"]}
    problem = (await rig.call("POST", AGENTS, json={})).json()
    jsonschema.Draft202012Validator(schema).validate(problem)
