"""Values of a requeue: what is submitted again, and what is stored with a key."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from libs.errors import Reason, ServiceError
from services.command.commands.model import DEFAULT_RUN_OPTIONS, Command, CommandState, SubmitCode, Submitted
from services.command.dead_letters.batch_answers import (
    Requeued,
    read_plan,
    read_requeued,
    write_plan,
    write_requeued,
)
from services.command.dead_letters.model import (
    Changes,
    Plan,
    requeued_command,
)

NOW = datetime(2026, 1, 31, 9, 30, 0, 123456, tzinfo=UTC)
DEAD, MADE = UUID(int=1), UUID(int=2)
RUN = {"timeout_ms": 1000, "backoff_ms": 10, "max_backoff_ms": 20, "retry_tool_errors": True}
OLD = Command(
    **(DEFAULT_RUN_OPTIONS.run_options() | RUN),
    command_id=DEAD, session_id="ses-1", agent_id="clock", type="run_tool", params='{"a":1}', correlation_id="c",
    requested_by="key:k", requeued_from=None, max_attempts=3, priority=1, not_before=NOW, ordering_key="o",
    retention_s=60, state=CommandState.FAILED, attempt=3, charged=3, progress=None, result=None, error=None,
    cancel_requested_at=None, enqueued_at=NOW, started_at=NOW, finished_at=NOW, next_attempt_at=None,
)  # fmt: skip


def test_requeue_submits_the_command_as_it_was_and_without_a_delay() -> None:
    new = requeued_command(OLD, Changes(), "key")
    assert (new.agent_id, new.session_id, new.requeued_from, new.not_before) == ("clock", "", DEAD, None)
    assert new.run_options() == OLD.run_options() != DEFAULT_RUN_OPTIONS.run_options()
    for name in ("type", "params", "correlation_id", "max_attempts", "priority", "ordering_key", "retention_s"):
        assert getattr(new, name) == getattr(OLD, name)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(params="{}"),
        Changes(max_attempts=1),
        Changes(timeout_ms=5),
        Changes(priority=0),
        Changes(not_before=NOW),
    ],
)
def test_each_change_is_applied_and_changes_the_hash(changes: Changes) -> None:
    plain, new = requeued_command(OLD, Changes(), "key"), requeued_command(OLD, changes, "key")
    (changed,) = [name for name in Changes.__slots__ if getattr(changes, name) is not None]
    assert getattr(new, changed) == getattr(changes, changed)
    assert replace(new, **{changed: getattr(plain, changed)}, hash=plain.hash) == plain
    assert new.hash != plain.hash


def test_session_of_a_requeue_changes_the_hash() -> None:
    plain, moved = requeued_command(OLD, Changes(), "key"), requeued_command(OLD, Changes(session_id="ses-2"), "key")
    assert (moved.agent_id, moved.session_id) == ("", "ses-2")
    assert moved.hash != plain.hash


def test_priority_of_zero_is_a_change() -> None:
    assert requeued_command(OLD, Changes(priority=0), "").priority == 0


def test_plan_and_answer_survive_storage() -> None:
    plan = Plan(("a", "b"), more=True, keyset={"at": NOW.isoformat(), "id": str(DEAD), "until": NOW.isoformat()})
    assert read_plan(write_plan(plan)) == plan
    made = Submitted(SubmitCode.OK, MADE, "c", "clock", "ses-1", NOW, "active")
    error = ServiceError(Reason.DEAD_LETTER_REQUEUED, "before", metadata={"requeued_as": str(MADE)})
    first, second = read_requeued(write_requeued([Requeued("a", command=made), Requeued("b", error=error)]))
    assert first == Requeued("a", command=made)
    assert second.error is not None
    assert (second.given, second.error.reason, second.error.message) == ("b", error.reason, "before")
    assert second.error.metadata == error.metadata
