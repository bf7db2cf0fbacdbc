"""Everything that callers can call is recorded: a new operation, RPC or reason fails here until it is.

The tests read the recorded answers. The OpenAPI document is one of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from callboard.errors.v1 import errors_pb2
from tests.recordings.answers import read_answers
from tests.recordings.play import is_good
from tests.recordings.rpc import contract_methods
from tests.recordings.script import areas

# Reasons that need a fault or a race, which `tests/contract`, `tests/integration` and `tests/chaos` test.
_OF_FAULTS = {
    "AGENT_PROTOCOL_ERROR", "AGENT_UNAVAILABLE", "CONNECTION_LOST", "CURSOR_EXPIRED", "DATABASE_UNAVAILABLE",
    "DEADLINE_EXCEEDED", "DISPATCH_LOST", "IDEMPOTENCY_KEY_IN_USE", "INTERNAL", "LEASE_EXPIRED",
    "RELEASED_TOO_OFTEN", "RESULT_TOO_LARGE", "RUNNER_SHUTDOWN", "SESSION_STATE_CONFLICT", "SESSION_STOPPING",
    "SHUTTING_DOWN",
}  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    """All recorded answers."""
    return [answer for area in areas() for answer in read_answers(area).values()]


def test_every_rest_operation_has_a_good_and_a_bad_answer(answers: list[dict[str, Any]]) -> None:
    paths = read_answers("rest/documents")["the API"]["body"]["paths"]
    operations = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert len(operations) > 30
    good, bad = set(), set()
    for answer in answers:
        method, _, path = answer["request"].partition(" ")
        template = _template(path.partition("?")[0], paths)
        if is_good(answer):
            good.add((method, template))
        elif answer.get("status") == 405:
            bad |= {(other, template) for other, path in operations if path == template}
        else:
            bad.add((method, template))
    assert operations - good == set()
    assert operations - bad == set()


def test_every_rpc_has_a_good_and_a_bad_answer(answers: list[dict[str, Any]]) -> None:
    methods = {str(method.full_name) for method in contract_methods()}
    assert len(methods) > 20
    good = {answer["request"] for answer in answers if is_good(answer)}
    bad = {answer["request"] for answer in answers if not is_good(answer)}
    assert methods - good == set()
    assert methods - bad == set()


def test_every_reason_is_recorded_or_needs_a_fault(answers: list[dict[str, Any]]) -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name, number in errors_pb2.ErrorReason.items() if number}
    recorded = {reason for answer in answers for reason in _reasons(answer)}
    assert reasons - recorded == _OF_FAULTS


def _template(path: str, paths: Mapping[str, Any]) -> str:
    """The documented path that matches a path; of several, the one with the fewest parameters."""
    words = path.split("/")
    fitting = [
        template
        for template in paths
        if len(parts := template.split("/")) == len(words)
        and all(part == word or (part.startswith("{") and word) for part, word in zip(parts, words, strict=True))
    ]
    return min(fitting, key=lambda template: template.count("{"), default="")


def _reasons(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                if name in ("reason", "code") and isinstance(inner, str):
                    yield inner.removeprefix("ERROR_REASON_")
                yield from _reasons(inner)
        case list():
            for inner in value:
                yield from _reasons(inner)
