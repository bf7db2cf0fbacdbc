"""The checker finds each kind of violation in small hand-made histories, and none in a sound one."""

import json
from pathlib import Path
from typing import Any

import pytest

from callboard.commands.v1.commands_pb2 import (
    COMMAND_STATE_RUNNING,
    COMMAND_STATE_SUCCEEDED,
    COMMAND_STATE_UNSPECIFIED,
)
from tests.chaos.check import check
from tests.chaos.further_load import APPENDED
from tests.chaos.journal import Row, write_rows

COMMAND = "01900000-0000-7000-8000-000000000001"


def _event(position: int, seq: int, type_: str, *, command: str | None = None, session: str = "s1") -> Row:
    return {
        "tenant_id": "acme", "partition": 1, "position": position, "seq": seq, "event_id": f"e{position}",
        "type": type_, "session_id": session, "agent_id": "echo-1", "command_id": command,
        "payload": '{"attempt": 1}', "actor": "key:1" if type_ == "command.enqueued" else "runner:1",
    }  # fmt: skip


def _cancelled(rows: list[Row], state: int, **about: str) -> None:
    cancel = {"op": 3, "kind": "cancel", "time": 1.0, **about}
    rows.extend([{**cancel, "phase": "invoke"}, {**cancel, "phase": "ok", "state": state}])


def _sound() -> dict[str, Any]:
    types = [("session.started", None), ("command.enqueued", COMMAND), ("command.started", COMMAND),
             ("command.completed", COMMAND), ("session.stopped", None)]  # fmt: skip
    events = [_event(n, n, type_, command=command) for n, (type_, command) in enumerate(types, 1)]
    invoked = {"time": 1.0, "op": 1, "kind": "submit", "phase": "invoke", "key": "key-1", "agent_id": "echo-1"}
    answered = {"time": 1.1, "op": 1, "kind": "submit", "phase": "ok", "command_id": COMMAND, "session_id": "s1"}
    stop = {"time": 3.0, "op": 2, "kind": "stop", "phase": "invoke", "key": "stop-1", "agent_id": "echo-1"}
    stopped = {"time": 3.1, "op": 2, "kind": "stop", "phase": "ok", "session_id": "s1", "state": 8, "previous": ""}
    seen = [
        {
            "time": 2.0,
            "subscriber": "x",
            "agent_id": "echo-1",
            "session_id": "s1",
            "seq": e["seq"],
            "event_id": e["event_id"],
        }
        for e in events
    ]
    start = {"time": 1.5, "phase": "start", "commandId": COMMAND, "attempt": 1, "mark": "a" * 32}
    return {
        "commands": [{
            "command_id": COMMAND, "session_uid": "u1", "session_id": "s1", "state": "succeeded", "attempt": 1,
            "charged": 1, "released": 0, "max_attempts": 3, "correlation_id": "key-1", "requeued_from": None,
            "ordering_key": "o",
            "cancel_requested_at": None, "result": '{"mark":"' + "a" * 32 + '"}', "error": None,
        }],
        "attempts": [{"command_id": COMMAND, "attempt": 1, "outcome": "succeeded", "charged": True,
                      "runner_id": "1"}],
        "events": events, "operations": [invoked, answered, stop, stopped], "seen": seen,
        "effects": [start, {**start, "time": 1.6, "phase": "end"}],
        "sessions": [{"tenant_id": "acme", "session_uid": "u1", "session_id": "s1", "agent_id": "echo-1",
                      "state": "stopped", "ended_at": "x"}],
        "heads": [{"session_id": "s1", "last_seq": 5}], "log": [{"tenant_id": "acme", "partition": 1, "position": 5}],
        "keys": [{"method": "submit", "key": "key-1", "response": COMMAND}], "dead_letters": [],
        "ready": [], "connections": [], "dispatches": [{"time": 1.2, "command_id": COMMAND}],
    }  # fmt: skip


def _rules(folder: Path, rows: dict[str, Any], **end: Any) -> set[str]:
    for name, found in rows.items():
        write_rows(folder / f"{name}.jsonl", found)
    ended = {"settled": True, "caught_up": True, "tools": [], "consumers": {}, **end}
    (folder / "end.json").write_text(json.dumps(ended))
    return {violation.rule for violation in check(folder)}


def test_sound_history_has_no_violation(tmp_path: Path) -> None:
    assert _rules(tmp_path, _sound()) == set()


def test_empty_history_is_a_violation(tmp_path: Path) -> None:
    assert {violation.rule for violation in check(tmp_path)} == {"run"}


CHANGES: list[tuple[str, str, Any]] = [
    ("I1", "commands", lambda rows: rows[0].update(state="queued")),
    ("I1", "operations", lambda rows: rows[1].update(command_id="lost")),
    ("I2", "events", lambda rows: rows.append(_event(6, 6, "command.failed", command=COMMAND))),
    ("I2", "events", lambda rows: rows[3].update(actor="runner:2")),
    ("I2", "attempts", lambda rows: rows[0].update(runner_id="2")),
    ("I2", "effects", lambda rows: rows[1].update(attempt=2)),
    ("I2", "commands", lambda rows: rows[0].update(cancel_requested_at="x")),
    ("I2", "operations", lambda rows: _cancelled(rows, COMMAND_STATE_RUNNING, command_id=COMMAND)),
    ("I2", "operations", lambda rows: _cancelled(rows, COMMAND_STATE_UNSPECIFIED, submit_key="key-1")),
    ("I3", "attempts", lambda rows: rows.append({**rows[0], "attempt": 3})),
    ("I3", "effects", lambda rows: rows.append(rows[0])),
    ("I4", "events", lambda rows: rows[2].update(seq=9)),
    ("I4", "log", lambda rows: rows[0].update(position=6)),
    ("I5", "seen", lambda rows: rows.pop(2)),
    ("I5", "seen", lambda rows: rows.append(rows[4])),
    ("I5", "seen", lambda rows: rows.pop()),
    ("I5", "seen", lambda rows: rows[1].update(event_id="vanished")),
    ("I6", "dead_letters", lambda rows: rows.append({"command_id": COMMAND, "published": True})),
    ("I7", "effects", lambda rows: rows.append({**rows[0], "attempt": 2, "time": 9.0})),
    ("I7", "events", lambda rows: rows.append(_event(6, 6, "command.progress", command=COMMAND))),
    ("I7", "events", lambda rows: rows[1].update(type="session.stopping", command_id=None)),
    ("I8", "events", lambda rows: rows.insert(1, _event(2, 1, "session.started", session="s2"))),
    ("I9", "operations", lambda rows: rows.extend([{**rows[0], "op": 3}, {**rows[1], "op": 3, "command_id": "other"}])),
    ("I9", "operations", lambda rows: rows.extend([{**rows[0], "op": 3, "other_body": True}, {**rows[1], "op": 3}])),
    ("I9", "commands", lambda rows: rows.extend({**rows[0], "command_id": n, "requeued_from": COMMAND} for n in "ab")),
    ("I9", "events", lambda rows: rows.extend({**_event(n, n, APPENDED), "payload": '{"key": "k"}'} for n in (6, 7))),
    ("I11", "ready", lambda rows: rows.append({"command_id": COMMAND})),
    (
        "I13",
        "operations",
        lambda rows: rows.extend(
            {"op": 3, "kind": "append", "phase": phase, "time": 1.0, "key": "k"} for phase in ("invoke", "ok")
        ),
    ),
    ("I13", "keys", lambda rows: rows[0].update(response="other")),
    ("I13", "keys", lambda rows: rows.append({"method": "submit", "key": "key-2", "response": None})),
    ("I13", "dispatches", lambda rows: rows.append({"time": 1.0, "command_id": "never stored"})),
    ("redirect", "effects", lambda rows: rows.append({**rows[0], "phase": "followed", "commandId": None})),
    ("I13", "events", lambda rows: rows[1].update(type="custom.step")),
]


@pytest.mark.parametrize(("rule", "file", "change"), CHANGES)
def test_violation_of_each_rule_is_found(tmp_path: Path, rule: str, file: str, change: Any) -> None:
    rows = _sound()
    change(rows[file])
    assert rule in _rules(tmp_path, rows)


@pytest.mark.parametrize(("stopper", "broken"), [("runner:2", set()), ("runner:3", {"I2"})])
def test_only_the_runner_that_failed_the_session_cancels_commands_of_others(
    tmp_path: Path, stopper: str, broken: set[str]
) -> None:
    rows = _sound()
    rows["events"][3].update(type="session.stopping", command_id=None, actor=stopper)
    cancelled = {"type": "command.cancelled", "command_id": COMMAND, "actor": "runner:2"}
    rows["events"][4].update(**cancelled, payload='{"attempt": 1, "reason": "session stopped"}')
    rows["events"].append(_event(6, 6, "session.failed"))
    rows["commands"][0].update(state="cancelled", result=None, cancel_requested_at="x")
    rows["attempts"][0].update(outcome="cancelled", charged=False)
    rows["heads"][0].update(last_seq=6)
    rows["log"][0].update(position=6)
    rows["seen"].append({**rows["seen"][-1], "seq": 6, "event_id": "e6"})
    rows["sessions"][0].update(state="failed")
    assert _rules(tmp_path, rows) & {"I2"} == broken


def test_late_cancel_is_no_violation(tmp_path: Path) -> None:
    rows = _sound()
    _cancelled(rows["operations"], COMMAND_STATE_SUCCEEDED, command_id=COMMAND)
    assert _rules(tmp_path, rows) == set()


def test_cancel_without_a_submit_is_no_violation(tmp_path: Path) -> None:
    rows = _sound()
    for phase in ("invoke", "info"):
        rows["operations"].append({"op": 4, "kind": "submit", "time": 1.0, "phase": phase, "key": "key-2"})
    _cancelled(rows["operations"], COMMAND_STATE_UNSPECIFIED, submit_key="key-2")
    rows["keys"].append({"method": "submit", "key": "key-2", "response": None})
    assert _rules(tmp_path, rows) == set()


def test_command_or_tool_that_did_not_end_in_time_is_found(tmp_path: Path) -> None:
    assert _rules(tmp_path, _sound(), settled=False) == {"I1"}
    assert _rules(tmp_path, _sound(), tools=[7]) == {"I11"}


@pytest.mark.parametrize(
    ("after", "rules"),
    [
        ({"pid": 1, "descriptors": 44, "kib": 130 << 10}, set()),
        ({"pid": 1, "descriptors": 45, "kib": 100 << 10}, {"I11"}),
        ({"pid": 1, "descriptors": 40, "kib": 131 << 10}, {"I11"}),
        ({"pid": 2, "descriptors": 99, "kib": 900 << 10}, set()),  # it was started again
    ],
)
def test_process_that_leaks_resources_is_found(tmp_path: Path, after: Row, rules: set[str]) -> None:
    before = {"pid": 1, "descriptors": 40, "kib": 100 << 10}
    resources = {"before": {"gateway": before}, "after": {"gateway": after}}
    assert _rules(tmp_path, _sound(), resources=resources) == rules
