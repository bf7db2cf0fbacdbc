"""One suite of real processes for all end-to-end tests, repaired before each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.processes import Suite
from tests.support.running_processes import running_suite


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def shared_suite() -> AsyncIterator[Suite]:
    async with running_suite(sessions=2, runners=2) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="package")
async def suite(shared_suite: Suite) -> AsyncIterator[Suite]:
    await shared_suite.heal()
    yield shared_suite
    await shared_suite.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes one worker run all tests that share the suite, and start early (`tests.support.distribution`)."""
    for item in items:
        if "shared_suite" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("shared_suite"))
            item.add_marker(pytest.mark.slow(90))
