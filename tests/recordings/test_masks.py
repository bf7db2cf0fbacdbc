"""Values that differ between runs are masked, and no values that callers rely on."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.recordings.answers import differences
from tests.recordings.masks import REST_DIGITS, Masks

ONE, OTHER = "0191d7a2-0000-7000-8000-000000000001", "0191d7a2-0000-7000-8000-000000000002"
SESSION = "ses-0123456789abcdef0123456789abcdef"
Change = Callable[[dict[str, Any]], object]


def masks(**times: int) -> Masks:
    written, keys = "names 00000000-0000-7000-8000-000000000000", {"admin": "key:abcdefgh2345"}
    return Masks(written=written, times=times, keys=keys, digits=REST_DIGITS)


def answer(id_: str = ONE, event_id: str = OTHER, at: str = "2026-01-31T09:30:00.123456Z") -> dict[str, Any]:
    """An answer with one value of each kind."""
    return {
        "status": 400,
        "headers": {"Location": f"/api/v1/commands/{id_}", "ETag": '"7"', "Retry-After": "1"},
        "body": {
            "commandId": id_, "jobId": id_, "sessionId": SESSION, "etag": "7", "createdAt": at, "attempt": 1,
            "nextPageToken": "eyJ4IjoxfQ", "duration": 1.5, "durationMs": 3, "requestedBy": "key:abcdefgh2345",
            "absent": None, "text": "kept",
        },
        "problem": {
            "detail": "x: must be y", "reason": "FIELD_INVALID",
            "errors": [{"field": "b", "rule": "must match ^x$"}, {"field": "a", "rule": "2026-01-31T09:30:00Z"}],
        },
        "frames": [{"id": "MS4xLmFiYw", "event": "iteration", "data": {"seq": 1, "eventId": event_id}}],
    }  # fmt: skip


def test_masked_answer_does_not_depend_on_ids_times_and_texts() -> None:
    later = answer(OTHER, ONE, "2027-02-01T00:00:00.000000Z")
    later["headers"]["ETag"], later["body"]["etag"] = '"8"', "8"
    later["body"] |= {"nextPageToken": "eyJ5IjoxfQ", "duration": 0, "durationMs": 41, "sessionId": f"ses-{'f' * 32}"}
    later["problem"]["detail"] = "other words"
    later["problem"]["errors"].reverse()
    later["frames"][0]["id"] = "MS4xLmFiZA"
    assert masks().answer("step", later) == masks().answer("step", answer())


def test_id_is_named_after_its_first_occurrence() -> None:
    both = masks()
    first = both.answer("submit", {"status": 202, "body": {"jobId": ONE}})
    second = both.answer("get", {"status": 200, "body": {"command": {"commandId": ONE, "sessionId": OTHER}}})
    assert first["body"] == {"jobId": "<submit: jobId>"}
    assert second["body"]["command"] == {"commandId": "<submit: jobId>", "sessionId": "<get: command.sessionId>"}


def test_id_of_the_script_is_not_masked() -> None:
    id_ = "00000000-0000-7000-8000-000000000000"
    assert masks().answer("get", {"status": 404, "problem": {"commandId": id_}})["problem"]["commandId"] == id_


def test_time_of_the_script_is_masked_by_its_name() -> None:
    both = masks(soon=3600)
    soon = both.moments()["soon"]
    body = {"notBefore": soon.replace("Z", ".000000Z"), "startedAt": "2026-01-31T09:30:00.000001Z", "day": "2026-01-31"}
    masked = both.answer("get", {"status": 200, "body": body})["body"]
    assert masked == {"notBefore": "<soon>", "startedAt": "<time>", "day": "2026-01-31"}


def test_texts_of_tools_are_kept_and_texts_for_people_are_masked() -> None:
    tool = {"code": "TOOL_ERROR", "message": "the disk is full"}
    ours = {"code": "COMMAND_TIMEOUT", "message": "the command ran longer than 1 second"}
    progress = {"progress": 1.0, "message": "1 of 3"}
    masked = masks().answer("get", {"status": 200, "body": {"tool": tool, "ours": ours, "progress": progress}})["body"]
    assert masked["tool"] == tool
    assert masked["ours"]["message"] == "<text>"
    assert masked["progress"] == progress


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(status=401),
        lambda one: one.pop("headers"),
        lambda one: one["headers"].pop("Location"),
        lambda one: one["headers"].update({"Retry-After": "2"}),
        lambda one: one["headers"].update({"ETag": "7"}),
        lambda one: one["body"].pop("absent"),
        lambda one: one["body"].update(absent=""),
        lambda one: one["body"].update(more=None),
        lambda one: one["body"].update(attempt=2),
        lambda one: one["body"].update(attempt=1.0),
        lambda one: one["body"].update(attempt=True),
        lambda one: one["body"].update(text="Kept"),
        lambda one: one["body"].update(jobId=OTHER),
        lambda one: one["body"].update(jobId="not-an-id"),
        lambda one: one["body"].update(createdAt="2026-01-31 09:30:00"),
        lambda one: one["body"].update(createdAt="2026-01-31T09:30:00.123Z"),
        lambda one: one["body"].update(createdAt="2026-01-31T09:30:00.123456+00:00"),
        lambda one: one["body"].update(createdAt=None),
        lambda one: one["body"].update(nextPageToken=None),
        lambda one: one["body"].update(duration="1.5"),
        lambda one: one["body"].update(requestedBy="key:zzzzzzzz2345"),
        lambda one: one["problem"].update(reason="JSON_INVALID"),
        lambda one: one["problem"]["errors"][0].update(rule="must match ^y$"),
        lambda one: one["problem"]["errors"][0].update(field="c"),
        lambda one: one["problem"]["errors"].pop(),
        lambda one: one["frames"].append(one["frames"][0]),
        lambda one: one["frames"][0].update(event="learning"),
        lambda one: one["frames"][0]["data"].update(seq=2),
    ],
)
def test_any_other_change_of_an_answer_is_a_difference(change: Change) -> None:
    changed = answer()
    change(changed)
    recorded, played = {"step": masks().answer("step", answer())}, {"step": masks().answer("step", changed)}
    assert differences(recorded, recorded) == ""
    assert "'step' differs" in differences(recorded, played)
