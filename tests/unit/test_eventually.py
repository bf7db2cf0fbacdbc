"""`tests.support.eventually`, on which other tests rely."""

import pytest

from tests.support.eventually import eventually


async def test_eventually_returns_the_first_true_result() -> None:
    results = iter([0, None, "", 7])
    assert await eventually(lambda: next(results)) == 7


async def test_eventually_waits_for_an_async_check_that_asserts() -> None:
    seen: list[int] = []

    async def check() -> bool:
        seen.append(len(seen))
        assert len(seen) == 3, "not yet"
        return True

    assert await eventually(check)


async def test_eventually_raises_the_last_assertion_at_its_timeout() -> None:
    def check() -> None:
        raise AssertionError("still wrong")

    with pytest.raises(AssertionError, match="still wrong"):
        await eventually(check, timeout=0.02)


async def test_eventually_reports_the_last_result_at_its_timeout() -> None:
    with pytest.raises(AssertionError, match="last seen: 0"):
        await eventually(lambda: 0, timeout=0.02)
