"""The routes of dead letters: what they send to the service, and what they reject themselves."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from callboard.commands.v1 import commands_pb2
from libs.errors import FieldViolation, Reason, ServiceError
from tests.support.gateway_rig import Rig, gateway_rig
from tests.support.stub_messages import COMMAND_ID

ALL = "/api/v1/dead-letters"
ONE = f"{ALL}/{COMMAND_ID}"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with gateway_rig() as made:
        yield made


async def test_list_passes_every_filter_to_the_service(rig: Rig) -> None:
    query = (
        "agentId=clock&sessionId=s&type=run_tool&reason=TOOL_ERROR,TOOL_NOT_FOUND&reason=TOOL_ERROR&requeued=false"
        "&deadAfter=2026-01-01T00:00:00Z&deadBefore=2026-02-01T00:00:00Z&correlationId=c:1&pageSize=7&pageToken=p"
    )
    assert (await rig.call("GET", f"{ALL}?{query}", role="viewer")).status_code == 200
    said = rig.script.said("ListDeadLetters")
    assert (said.agent_id, said.session_id, said.type, said.correlation_id) == ("clock", "s", "run_tool", "c:1")
    assert (list(said.reasons), said.requeued) == ([64, 65], commands_pb2.REQUEUED_FILTER_NOT_REQUEUED)
    assert said.dead_before.seconds - said.dead_after.seconds == 31 * 86400
    assert (said.page_size, said.page_token) == (7, "p")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("reason=NOPE", "reason"),
        ("reason=tool_error", "reason[0]"),
        ("requeued=maybe", "requeued"),
        ("deadAfter=yesterday", "deadAfter"),
        ("correlationId=a%20b", "correlationId"),
    ],
)
async def test_invalid_filter_is_rejected_naming_the_field(rig: Rig, query: str, field: str) -> None:
    answer = await rig.call("GET", f"{ALL}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


async def test_attempt_has_its_outcome_and_duration(rig: Rig) -> None:
    (attempt,) = (await rig.call("GET", ONE)).json()["attempts"]
    assert (attempt["outcome"], attempt["duration"], attempt["error"]["code"]) == ("failed", 1.5, "TOOL_ERROR")


async def test_requeue_passes_its_changes_to_the_service(rig: Rig) -> None:
    body = {
        "params": {"n": 12345678901234567890123}, "maxAttempts": 25, "timeout": "90s", "priority": "low",
        "notBefore": "2026-06-01T10:00:00Z", "sessionId": "ses-1",
    }  # fmt: skip
    answer = await rig.call("POST", f"{ONE}/requeue", json=body)
    assert (answer.status_code, answer.json()["requeuedFrom"]) == (202, COMMAND_ID)
    said = rig.script.said("RequeueDeadLetter")
    assert said.params_json == '{"n":12345678901234567890123}'
    options = said.options
    assert (options.max_attempts, options.timeout.seconds, options.priority) == (25, 90, 3)
    assert (options.not_before.ToJsonString(), options.session_id) == ("2026-06-01T10:00:00Z", "ses-1")


async def test_empty_parameters_are_sent_and_missing_ones_are_not(rig: Rig) -> None:
    await rig.call("POST", f"{ONE}/requeue", json={"params": {}})
    assert rig.script.said("RequeueDeadLetter").params_json == "{}"
    await rig.call("POST", f"{ONE}/requeue")
    assert not rig.script.said("RequeueDeadLetter").HasField("params_json")


async def test_requeue_by_filter_returns_every_field_of_the_response(rig: Rig) -> None:
    body = {
        "filter": {"agentId": "clock", "reasons": ["TOOL_ERROR"], "deadBefore": "2026-02-01T00:00:00Z",
                   "requeued": False},
        "limit": 1000, "pageToken": "p", "maxAttempts": 1,
    }  # fmt: skip
    answer = (await rig.call("POST", f"{ALL}/requeue", json=body, role="operator")).json()
    said = rig.script.said("RequeueDeadLetters")
    assert (said.filter.agent_id, list(said.filter.reasons), said.filter.requeued) == ("clock", [64], 2)
    assert (said.limit, said.page_token, said.options.max_attempts, said.dry_run) == (1000, "p", 1, False)
    error = {"reason": "DEAD_LETTER_REQUEUED", "message": "before", "metadata": {"requeuedAs": "c2"}}
    assert answer == {
        "results": [
            {"id": "a", "jobId": COMMAND_ID, "correlationId": "cor-1", "refusal": None},
            {"id": "b", "jobId": None, "correlationId": None, "refusal": error},
            {"id": "c", "jobId": None, "correlationId": None, "refusal": None},
        ],
        "requeued": 2, "refused": 1, "more": True, "nextPageToken": "more", "dryRun": False, "matched": None,
    }  # fmt: skip


async def test_dry_run_returns_how_many_match(rig: Rig) -> None:
    for path, rpc, matched in (("requeue", "RequeueDeadLetters", 7), ("purge", "PurgeDeadLetters", 2)):
        answer = (await rig.call("POST", f"{ALL}/{path}", json={"filter": {}, "dryRun": True})).json()
        assert (answer["dryRun"], answer["matched"]) == (True, matched)
        assert rig.script.said(rpc).dry_run
        answer = (await rig.call("POST", f"{ALL}/{path}", json={"ids": ["a"], "dryRun": True})).json()
        assert answer["matched"] is None


async def test_bulk_purge_returns_each_rejected_id(rig: Rig) -> None:
    answer = (await rig.call("POST", f"{ALL}/purge", json={"ids": ["a", "b"]})).json()
    assert list(rig.script.said("PurgeDeadLetters").command_ids) == ["a", "b"]
    assert [one["id"] for one in answer["results"] if one["refusal"]] == ["b"]
    assert (answer["purged"], answer["refused"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"ids": ["a"], "filter": {}}, ""),
        ({"ids": []}, "ids"),
        ({"ids": ["a b"]}, "ids[0]"),
        ({"ids": ["a"] * 1001}, "ids"),
        ({"filter": {}, "limit": 0}, "limit"),
        ({"filter": {}, "limit": 1001}, "limit"),
        ({"filter": {"reasons": ["NOPE"]}}, "filter.reasons"),
        ({"filter": {"requeued": "true"}}, "filter.requeued"),
        ({"filter": {"nope": 1}}, "filter.nope"),
        ({"filter": {}, "dryRun": "yes"}, "dryRun"),
    ],
)
async def test_bulk_request_with_an_invalid_body_is_rejected(rig: Rig, body: dict[str, Any], field: str) -> None:
    for path in ("requeue", "purge"):
        answer = await rig.call("POST", f"{ALL}/{path}", json=body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field


async def test_violations_of_the_service_use_the_field_names_of_rest(rig: Rig) -> None:
    violations = [FieldViolation("command_ids[3]", "r"), FieldViolation("options.max_attempts", "r")]
    violations.append(FieldViolation("filter.dead_before", "r"))
    rig.script.answers["RequeueDeadLetters"] = ServiceError(Reason.FIELD_INVALID, "no", violations=violations)
    answer = await rig.call("POST", f"{ALL}/requeue", json={"ids": ["a"]})
    assert [one["field"] for one in answer.json()["errors"]] == ["ids[3]", "maxAttempts", "filter.deadBefore"]


@pytest.mark.parametrize(("path", "role"), [("requeue", "viewer"), ("purge", "operator")])
async def test_call_without_the_required_role_is_rejected(rig: Rig, path: str, role: str) -> None:
    answer = await rig.call("POST", f"{ALL}/{path}", json={"ids": ["a"]}, role=role)
    assert (answer.status_code, answer.json()["reason"]) == (403, "ROLE_REQUIRED")
