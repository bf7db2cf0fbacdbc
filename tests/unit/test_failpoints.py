"""Failpoints: valid rules, their effects, and that registry and code have the same names."""

import json
import math
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from libs.errors import Reason, ServiceError
from libs.failpoints import (
    NAMES,
    PLACES,
    QUIET_PLACES,
    STATEMENTS,
    Action,
    FailpointSettings,
    Rule,
    actions_at,
    arm,
    failpoint,
    read_rules,
)

ROOT = Path(__file__).parents[2]
PLACE, QUIET, STATEMENT = "attempts.after_claim_before_settle", "attempts.after_finish", "attempts.finish"
_REACHED = re.compile(r'failpoint\(\s*"([^"]+)"')


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm(FailpointSettings())


def settings(rules: str, **others: object) -> FailpointSettings:
    given = {f"CALLBOARD_FAILPOINTS_{name.upper()}": value for name, value in others.items()}
    return FailpointSettings.model_validate({"CALLBOARD_FAILPOINTS": rules, **given})


def outcomes(rules: str, process: str, times: int = 200, **others: object) -> list[bool]:
    """Reach the place so many times, and return for each time whether it raised."""
    arm(settings(rules, **others), process)
    found = []
    for _ in range(times):
        try:
            failpoint(PLACE)
        except ServiceError:
            found.append(True)
        else:
            found.append(False)
    return found


def test_rules_round_trip_through_text() -> None:
    text = f"{PLACE}=raise@0.5;{QUIET}=sleep:3@0.1;{STATEMENT}=lose_reply@0.05"
    rules = read_rules(text)
    assert rules == (
        Rule(PLACE, Action.RAISE, 0.0, 0.5),
        Rule(QUIET, Action.SLEEP, 3.0, 0.1),
        Rule(STATEMENT, Action.LOSE_REPLY, 0.0, 0.05),
    )
    assert ";".join(map(str, rules)) == text
    assert read_rules(f" {PLACE}=crash ; ") == (Rule(PLACE, Action.CRASH),)
    assert read_rules("") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no.such_place=crash", "no failpoint 'no.such_place'"),
        (PLACE, "not of the form"),
        (f"{PLACE}=explode", "takes crash, sleep, raise, not 'explode'"),
        (f"{PLACE}=lose_reply", "takes crash, sleep, raise, not 'lose_reply'"),
        (f"{QUIET}=raise", "takes crash, sleep, not 'raise'"),
        (f"{STATEMENT}=raise", "takes crash, sleep, lose_reply, not 'raise'"),
        (f"{PLACE}=sleep", "has seconds"),
        (f"{PLACE}=crash:3", "has seconds"),
        (f"{PLACE}=sleep:-1", "seconds has to be a number above 0"),
        (f"{PLACE}=sleep:long", "seconds has to be a number above 0"),
        (f"{PLACE}=crash@0", "probability has to be a number above 0, up to 1"),
        (f"{PLACE}=crash@1.5", "probability has to be a number above 0, up to 1"),
        (f"{PLACE}=crash@nan", "probability has to be a number above 0, up to 1"),
        (f"{PLACE}=crash@", "probability has to be a number above 0, up to 1"),
    ],
)
def test_invalid_rule_is_rejected_with_its_variable_and_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(text)
    (fault,) = caught.value.errors()
    assert fault["loc"] == ("CALLBOARD_FAILPOINTS",)
    assert message in fault["msg"]


def test_unknown_name_is_rejected_with_the_known_names() -> None:
    with pytest.raises(ValueError, match="there is no failpoint") as caught:
        read_rules("no.such_place=crash")
    assert all(name in str(caught.value) for name in NAMES)


def _raising() -> list[str]:
    """Reach every failpoint, and return those that raised."""
    raising = []
    for name in NAMES:
        try:
            failpoint(name)
        except ServiceError:
            raising.append(name)
    return raising


def test_nothing_happens_without_rules() -> None:
    arm(settings(f"{PLACE}=raise"))
    arm(FailpointSettings())
    assert _raising() == []


def test_rule_affects_its_own_place_only() -> None:
    arm(settings(f"{PLACE}=raise"))
    assert _raising() == [PLACE]


def test_raise_raises_the_fault_of_the_place() -> None:
    arm(settings(f"{PLACE}=raise"))
    with pytest.raises(ServiceError) as caught:
        failpoint(PLACE)
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
    with pytest.raises(OSError, match="its own"):
        failpoint(PLACE, lambda: OSError("its own"))


def test_sleep_blocks_the_process() -> None:
    arm(settings(f"{QUIET}=sleep:0.05"))
    began = time.monotonic()
    failpoint(QUIET)
    assert time.monotonic() - began >= 0.05


def test_crash_writes_a_line_and_runs_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "from libs.failpoints import FailpointSettings, arm, failpoint\n"
        "arm(FailpointSettings())\n"
        f"try:\n    failpoint({PLACE!r})\nfinally:\n    print('alive')\n"
    )
    environment = {"CALLBOARD_FAILPOINTS": f"{PLACE}=crash", "CALLBOARD_FAILPOINTS_LOG": str(log)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -9
    assert "alive" not in done.stdout
    line = json.loads(log.read_text())
    assert (line["name"], line["action"]) == (PLACE, "crash")
    assert line["time"] <= time.monotonic()


def test_outcomes_depend_on_seed_and_process() -> None:
    rules = f"{PLACE}=raise@0.5"
    assert outcomes(rules, "runner-1", seed=7) == outcomes(rules, "runner-1", seed=7)
    assert outcomes(rules, "runner-1", seed=7) != outcomes(rules, "runner-2", seed=7)
    assert outcomes(rules, "runner-1", seed=7) != outcomes(rules, "runner-1", seed=8)


def test_outcomes_at_a_place_do_not_depend_on_other_rules() -> None:
    alone = f"{PLACE}=raise@0.5"
    assert outcomes(alone, "x", seed=7) == outcomes(f"{QUIET}=crash;{alone}", "x", seed=7)


def test_outcomes_follow_the_probability() -> None:
    assert 140 < sum(outcomes(f"{PLACE}=raise@0.2", "x", 1000)) < 260


def test_nothing_happens_after_the_time_limit() -> None:
    assert not any(outcomes(f"{PLACE}=raise", "x", until=time.monotonic() - 1))
    assert all(outcomes(f"{PLACE}=raise", "x", until=time.monotonic() + 60))
    assert settings("").until == math.inf


def test_exactly_one_line_of_code_reaches_each_place() -> None:
    code = [path.read_text() for folder in ("services", "libs") for path in (ROOT / folder).rglob("*.py")]
    assert Counter(name for text in code for name in _REACHED.findall(text)) == Counter([*PLACES, *QUIET_PLACES])


def test_every_statement_is_defined_in_one_file() -> None:
    written = Counter(
        f"{path.parent.name}.{name}"
        for folder in ("services", "libs")
        for path in (ROOT / folder).rglob("queries.sql")
        for name in re.findall(r"^-- name: (\w+)$", path.read_text(), re.MULTILINE)
    )
    assert {name: written[name] for name in STATEMENTS} == dict.fromkeys(STATEMENTS, 1)


def test_every_name_has_a_description_and_can_crash() -> None:
    assert len(NAMES) == len(PLACES) + len(QUIET_PLACES) + len(STATEMENTS)
    for name, text in NAMES.items():
        assert text
        assert Action.CRASH in actions_at(name)
