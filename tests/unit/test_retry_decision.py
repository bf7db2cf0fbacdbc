"""The decision after a failed attempt."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.attempts import (
    MAX_RELEASES,
    Failure,
    FailureCode,
    GiveUp,
    Retry,
    RetryPolicy,
    decide,
)

POLICY = RetryPolicy(max_attempts=3, backoff_ms=1000, max_backoff_ms=3000)


class Highest(random.Random):
    """Always draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def failure(*, retryable: bool = True, charged: bool = True, code: FailureCode = FailureCode.TOOL_ERROR) -> Failure:
    return Failure(code, "it failed", retryable, charged=charged)


@pytest.mark.parametrize(
    ("what", "charged", "released", "decision"),
    [
        (failure(), 0, 0, Retry(1000, charged=True)),
        (failure(), 1, 0, Retry(2000, charged=True)),
        (failure(), 2, 0, GiveUp(FailureCode.TOOL_ERROR)),
        (failure(), 7, 0, GiveUp(FailureCode.TOOL_ERROR)),
        (failure(), 1, 19, Retry(2000, charged=True)),
        (failure(retryable=False), 0, 0, GiveUp(FailureCode.TOOL_ERROR)),
        (failure(retryable=False, code=FailureCode.TOOL_NOT_FOUND), 0, 0, GiveUp(FailureCode.TOOL_NOT_FOUND)),
        (failure(charged=False), 0, 0, Retry(50, charged=False)),
        (failure(charged=False), 2, 0, Retry(50, charged=False)),
        (failure(charged=False), 0, 3, Retry(400, charged=False)),
        (failure(charged=False), 0, 19, Retry(1000, charged=False)),
        (failure(charged=False), 0, 20, GiveUp(FailureCode.RELEASED_TOO_OFTEN)),
        (failure(charged=False, retryable=False), 0, 0, Retry(50, charged=False)),
    ],
)
def test_decision_depends_on_earlier_charges_and_releases(
    what: Failure, charged: int, released: int, decision: Retry | GiveUp
) -> None:
    assert decide(what, POLICY, charged=charged, released=released, draw=Highest()) == decision


def test_command_with_one_attempt_is_never_retried() -> None:
    policy = RetryPolicy(max_attempts=1, backoff_ms=10, max_backoff_ms=10)
    assert decide(failure(), policy, charged=0, released=0, draw=Highest()) == GiveUp(FailureCode.TOOL_ERROR)


@given(st.integers(0, 24), st.integers(1, 3_600_000), st.integers(0, 86_400_000), st.integers())
def test_delay_lies_between_zero_and_the_exponential_cap(charged: int, backoff: int, more: int, seed: int) -> None:
    policy = RetryPolicy(max_attempts=26, backoff_ms=backoff, max_backoff_ms=backoff + more)
    decision = decide(failure(), policy, charged=charged, released=0, draw=random.Random(seed))
    assert isinstance(decision, Retry)
    assert 0 <= decision.delay_ms <= min(backoff + more, backoff * 2**charged)


def test_delays_are_spread_out() -> None:
    draw = random.Random(1)
    waits = [decide(failure(), POLICY, charged=0, released=0, draw=draw) for _ in range(200)]
    delays = [wait.delay_ms for wait in waits if isinstance(wait, Retry)]
    assert min(delays) < 100
    assert max(delays) > 900
    assert len(set(delays)) > 100


def test_charged_failures_give_up_after_max_attempts() -> None:
    for attempts in range(1, 26):
        policy = RetryPolicy(attempts, 10, 10)
        charged = 0
        while isinstance(decide(failure(), policy, charged=charged, released=0, draw=Highest()), Retry):
            charged += 1
        assert charged + 1 == attempts


def test_command_is_released_at_most_twenty_times() -> None:
    released = 0
    while isinstance(decide(failure(charged=False), POLICY, charged=0, released=released, draw=Highest()), Retry):
        released += 1
    assert released == MAX_RELEASES == 20
