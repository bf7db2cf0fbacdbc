"""Reports of an attempt: sent at most ten times a second, also after the database was unavailable."""

import asyncio
from uuid import uuid4

import orjson
import pytest

from libs.attempts import Report
from libs.errors import Reason, ServiceError
from services.runner.attempts import reports as module
from services.runner.attempts.reports import AttemptReporter
from tests.support.eventually import eventually


class Store:
    """Stores reports unless it is unavailable. `fenced` counts the calls of `on_fenced`."""

    def __init__(self) -> None:
        self.is_unavailable = False
        self.lease_holds = True
        self.stored: list[Report] = []
        self.fenced = 0
        self.failed = 0
        self.reporter = AttemptReporter(uuid4(), uuid4(), "runner:r", self.take, self.fence)

    async def take(self, report: Report) -> bool:
        await asyncio.sleep(0)
        if self.is_unavailable:
            self.failed += 1
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "unavailable")
        if self.lease_holds:
            self.stored.append(report)
        return self.lease_holds

    def fence(self) -> None:
        self.fenced += 1

    def payloads(self, type_: str) -> list[str]:
        return [report.payload for report in self.stored if report.type == type_]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(module, "_INTERVAL", 0.01)
    return Store()


async def test_reports_continue_after_a_failed_one(store: Store) -> None:
    store.is_unavailable = True
    store.reporter.progress(1, 10, None)
    store.reporter.output({"line": 1})
    await eventually(lambda: store.failed > 2)
    store.is_unavailable = False
    store.reporter.progress(2, 10, None)
    await eventually(lambda: any('"progress":2' in payload for payload in store.payloads("command.progress")))
    # The output may have been stored, so it is counted instead of repeated.
    assert store.payloads("command.output") == ['{"dropped":1}']
    store.reporter.output({"line": 2})
    await eventually(lambda: store.payloads("command.output")[1:] == ['{"line":2}'])


async def test_last_progress_is_stored_after_a_slower_earlier_one(store: Store) -> None:
    first_is_sent, first_may_arrive = asyncio.Event(), asyncio.Event()
    take = store.take

    async def slow_at_first(report: Report) -> bool:
        if '"progress":1' in report.payload:
            first_is_sent.set()
            await first_may_arrive.wait()
        return await take(report)

    reporter = AttemptReporter(uuid4(), uuid4(), "runner:r", slow_at_first, store.fence)
    reporter.progress(1, 2, None)
    await first_is_sent.wait()
    reporter.progress(2, 2, None)
    closing = asyncio.create_task(reporter.close())
    ended, _ = await asyncio.wait([closing], timeout=0.02)
    assert not ended
    first_may_arrive.set()
    await closing
    assert [orjson.loads(payload)["progress"] for payload in store.payloads("command.progress")] == [1, 2]


async def test_close_sends_buffered_reports(store: Store) -> None:
    for step in range(5):
        store.reporter.progress(step, 5, None)
        store.reporter.output({"line": step})
    await store.reporter.close()
    assert len(store.payloads("command.output")) == 5
    assert '"progress":4' in store.payloads("command.progress")[-1]


async def test_report_under_a_lost_lease_is_fenced(store: Store) -> None:
    store.lease_holds = False
    store.reporter.progress(1, 2, None)
    await eventually(lambda: store.fenced)
    assert store.stored == []


async def test_output_beyond_the_limits_is_dropped_and_counted(store: Store) -> None:
    for line in range(102):
        store.reporter.output({"line": line})
    store.reporter.output({"text": "x" * 70_000})
    await store.reporter.close()
    outputs = store.payloads("command.output")
    assert outputs[:100] == [f'{{"line":{line}}}' for line in range(100)]
    assert outputs[100:] == ['{"dropped":3}']
