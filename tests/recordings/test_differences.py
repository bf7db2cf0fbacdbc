"""Differences are reported by step, also those between a problem and its reason."""

from typing import Any

import httpx2
import orjson
import pytest

from tests.recordings.answers import differences, to_text
from tests.recordings.rest import RestCaller
from tests.recordings.script import areas, read_script

PROBLEM = {
    "type": "urn:callboard:problem:agent-not-found", "title": "Agent not found", "status": 404, "detail": "no agent x",
    "reason": "AGENT_NOT_FOUND", "errors": [], "instance": "/api/v1/agents/x", "agentId": "x",
}  # fmt: skip


def test_new_and_missing_steps_are_reported() -> None:
    report = differences({"old": {"status": 200}}, {"new": {"status": 201}})
    assert "step 'new' has no recorded answer" in report
    assert "step 'old' was recorded and is not played any more" in report


def test_difference_shows_the_lines_that_differ() -> None:
    report = differences({"get": {"status": 200, "body": {"a": 1}}}, {"get": {"status": 404, "body": {"a": 1}}})
    assert '- "status": 200' in report
    assert '+ "status": 404' in report


def test_written_answers_are_read_back() -> None:
    value = {"b": [1, {"c": "x" * 150}], "a": {"long": ["y" * 60, "z" * 60]}, "empty": {}}
    assert orjson.loads(to_text(value)) == value
    assert to_text(value) == to_text(dict(reversed(value.items())))


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({}, {"reason": "AGENT_NOT_FOUND", "errors": [], "agentId": "x"}),
        ({"status": 400}, {"status": 400}),
        ({"title": "Gone"}, {"title": "Gone"}),
        ({"type": "about:blank"}, {"type": "about:blank"}),
        ({"instance": "/elsewhere"}, {"instance": "/elsewhere"}),
        ({"detail": ""}, {"detail": ""}),
        ({"detail": None}, {"detail": None}),
    ],
)
async def test_unusual_fields_of_a_problem_are_recorded(change: dict[str, Any], seen: dict[str, Any]) -> None:
    assert seen.items() <= (await _problem({**PROBLEM, **change})).items()


@pytest.mark.parametrize("name", ["type", "title", "status", "detail", "instance"])
async def test_missing_fields_of_a_problem_are_recorded(name: str) -> None:
    problem = {key: value for key, value in PROBLEM.items() if key != name}
    assert (await _problem(problem))["missing"] == [name]


async def _problem(value: dict[str, Any]) -> dict[str, Any]:
    def answer(_: httpx2.Request) -> httpx2.Response:
        headers = {"Content-Type": "application/problem+json"}
        return httpx2.Response(404, headers=headers, content=orjson.dumps(value))

    caller = RestCaller({"": "http://gateway"}, httpx2.MockTransport(answer))
    try:
        answered = await caller.call("GET /api/v1/agents/x?y=1", None, {}, "", take=0, hold=False)
    finally:
        await caller.close()
    assert answered["status"] == 404
    found: dict[str, Any] = answered["problem"]
    return found


@pytest.mark.parametrize("area", areas())
def test_script_is_valid_and_its_steps_have_distinct_names(area: str) -> None:
    script = read_script(area)
    assert script.steps
    assert all(step.is_rpc == area.startswith("rpc/") for step in script.steps)
