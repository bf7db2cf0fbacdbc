"""What becomes of a command after a failed attempt: a decision, not an action."""

import random
from dataclasses import dataclass

from libs.attempts.failure import Failure, FailureCode

MAX_RELEASES = 20
"""How often a command may be given back uncharged (concurrency, rule 2)."""
_RELEASE_BACKOFF_MS = 1000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after what waits in milliseconds, a command is tried."""

    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_ms`; a release does not count as an attempt."""

    delay_ms: int
    charged: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt, for this reason; written in the transaction that ends the last one (failures, row 8)."""

    reason: FailureCode


def decide(
    failure: Failure, policy: RetryPolicy, *, charged: int, released: int, draw: random.Random
) -> Retry | GiveUp:
    """Decide after an attempt that failed; `charged` and `released` count the ends before this one.

    The wait is drawn evenly from zero to the exponential cap ("full jitter"), so that commands which failed together
    do not come back together.
    """
    if not failure.charged:
        if released >= MAX_RELEASES:
            return GiveUp(FailureCode.RELEASED_TOO_OFTEN)
        return Retry(_draw(draw, min(_RELEASE_BACKOFF_MS, 50 * 2**released)), charged=False)
    if not failure.retryable or charged + 1 >= policy.max_attempts:
        return GiveUp(failure.code)
    return Retry(_draw(draw, min(policy.max_backoff_ms, policy.backoff_ms * 2**charged)), charged=True)


def _draw(draw: random.Random, cap_ms: int) -> int:
    return round(draw.uniform(0, cap_ms))
