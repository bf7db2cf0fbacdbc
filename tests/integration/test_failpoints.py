"""Failpoints in real processes and with the real database."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from libs.db import Database, load_statements
from libs.errors import Reason, ServiceError
from libs.failpoints import FailpointSettings, arm
from tests.support.engines import TestNats

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm(FailpointSettings())


def run_command_service(**environment: str) -> tuple[int, list[dict[str, str]]]:
    """Runs the command service until it exits; returns its exit code and its log."""
    command = [sys.executable, "-m", "services.command"]
    given = {**os.environ, "CALLBOARD_COMMAND_PORT": "0", **environment}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_service_crashes_at_its_failpoint(app_database_url: str, nats_server: TestNats, tmp_path: Path) -> None:
    """A process with failpoints logs them, and ends as by SIGKILL when it first reaches one."""
    code, lines = run_command_service(
        DATABASE_URL=app_database_url,
        NATS_URL=nats_server.url,
        CALLBOARD_FAILPOINTS="dispatch.due=crash",
        CALLBOARD_FAILPOINTS_LOG=str(tmp_path / "log"),
    )
    assert code == -9
    (armed,) = [line for line in lines if line["event"] == "failpoints_armed"]
    assert armed["level"] == "warning"
    fired = json.loads((tmp_path / "log").read_text())
    assert (fired["name"], fired["action"]) == ("dispatch.due", "crash")


def test_service_with_an_unknown_failpoint_does_not_start() -> None:
    code, lines = run_command_service(
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        NATS_URL="nats://127.0.0.1:1",
        CALLBOARD_FAILPOINTS="dispatcher.nowhere=crash",
    )
    assert code == 2
    (wrong,) = lines
    assert (wrong["event"], wrong["variable"]) == ("setting_wrong", "CALLBOARD_FAILPOINTS")
    assert "dispatcher.after_publish_before_mark" in wrong["rule"]


async def test_statement_whose_reply_is_lost_is_committed(database_url: str, tmp_path: Path) -> None:
    """The caller gets DATABASE_UNAVAILABLE, and the statement has taken effect."""
    file = tmp_path / "attempts.sql"
    file.write_text("-- name: finish\ninsert into t values (1);\n-- name: claim\nselect n from t;\n")
    statements = load_statements(file)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute("create table t (n integer)")
        await owner.execute("grant all on t to callboard_command")
    database = Database.of(database_url, role="callboard_command", name="test", size=2)
    await database.open()
    try:
        arm(FailpointSettings.model_validate({"CALLBOARD_FAILPOINTS": "attempts.finish=lose_reply"}))
        with pytest.raises(ServiceError) as caught:
            await database.changed(statements["finish"])
        assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
        assert await database.values(statements["claim"]) == [1]
    finally:
        await database.close()
