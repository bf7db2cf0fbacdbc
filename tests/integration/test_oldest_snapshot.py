"""A snapshot that is held for long is measured, and logged once."""

import psycopg
import pytest
from structlog.testing import capture_logs

from libs.db import Database
from libs.errors import Reason, ServiceError
from services.command.dispatch import snapshots
from services.command.dispatch.snapshots import Snapshots


class Held:
    """Reports an age that the test sets."""

    def __init__(self) -> None:
        self.seconds: float | None = 0.0

    async def oldest_snapshot(self) -> float:
        if self.seconds is None:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "away")
        return self.seconds


async def oldest(database: Database) -> float:
    return float((await database.values("select command.oldest_snapshot()"))[0])


async def test_unprivileged_role_can_read_the_age_of_the_oldest_snapshot(
    database_url: str, app_database_url: str
) -> None:
    database = Database.of(app_database_url, role="callboard_command", name="looks", size=2)
    await database.open()
    try:
        async with await psycopg.AsyncConnection.connect(database_url) as holder:
            await holder.execute("set transaction isolation level repeatable read")
            await holder.execute("select 1 from command.commands limit 1")
            await holder.execute("select pg_sleep(0.3)")
            assert await oldest(database) >= 0.3
        assert await oldest(database) < 0.3
    finally:
        await database.close()


async def test_old_snapshot_is_logged_once_until_it_is_gone() -> None:
    held = Held()
    watched = Snapshots(held)
    with capture_logs() as logs:
        for seconds in (1.0, snapshots._LONG + 1, snapshots._LONG + 2, None, 0.5, snapshots._LONG + 1):
            held.seconds = seconds
            await watched.look()
    assert [line["event"] for line in logs] == ["old_snapshot", "old_snapshot"]
    assert watched.oldest_seconds == pytest.approx(snapshots._LONG + 1)


async def test_unreachable_database_keeps_the_last_figure() -> None:
    held = Held()
    watched = Snapshots(held)
    held.seconds = 7.0
    await watched.look()
    held.seconds = None
    await watched.look()
    assert watched.oldest_seconds == 7.0
