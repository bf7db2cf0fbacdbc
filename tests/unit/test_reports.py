"""What an attempt reports goes out, ten times a second at most, through a database that is away for a while."""

import asyncio
from uuid import uuid4

import pytest

from libs.attempts import Report
from libs.errors import Reason, ServiceError
from services.runner.attempts import reports as module
from services.runner.attempts.reports import AttemptReporter
from tests.support.eventually import eventually


class Store:
    """Takes reports, unless it is away; `fenced` counts how often the reporter heard that its lease is gone."""

    def __init__(self) -> None:
        self.away = False
        self.holds = True
        self.stored: list[Report] = []
        self.fenced = 0
        self.refused = 0
        self.reporter = AttemptReporter(uuid4(), uuid4(), "runner:r", self.take, self.fence)

    async def take(self, report: Report) -> bool:
        await asyncio.sleep(0)
        if self.away:
            self.refused += 1
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "away")
        if self.holds:
            self.stored.append(report)
        return self.holds

    def fence(self) -> None:
        self.fenced += 1

    def payloads(self, type_: str) -> list[str]:
        return [report.payload for report in self.stored if report.type == type_]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(module, "_EVERY", 0.01)
    return Store()


async def test_progress_goes_on_after_a_report_that_could_not_be_stored(store: Store) -> None:
    store.away = True
    store.reporter.progress(1, 10, None)
    store.reporter.output({"line": 1})
    await eventually(lambda: store.refused > 2)
    store.away = False
    store.reporter.progress(2, 10, None)
    await eventually(lambda: any('"progress":2' in one for one in store.payloads("command.progress")))
    # Nobody knows whether the output was stored, so it does not come twice: it is counted.
    assert store.payloads("command.output") == ['{"dropped":1}']
    store.reporter.output({"line": 2})
    await eventually(lambda: store.payloads("command.output")[1:] == ['{"line":2}'])


async def test_what_is_left_goes_out_before_the_end(store: Store) -> None:
    for step in range(5):
        store.reporter.progress(step, 5, None)
        store.reporter.output({"line": step})
    await store.reporter.close()
    assert len(store.payloads("command.output")) == 5
    assert '"progress":4' in store.payloads("command.progress")[-1]


async def test_a_report_under_a_lost_lease_says_so(store: Store) -> None:
    store.holds = False
    store.reporter.progress(1, 2, None)
    await eventually(lambda: store.fenced)
    assert store.stored == []
