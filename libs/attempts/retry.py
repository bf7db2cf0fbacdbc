"""Decides what happens to a command after a failed attempt. The caller carries the decision out."""

import random
from dataclasses import dataclass

from libs.attempts.failure import Failure, FailureCode

MAX_RELEASES = 20
"""How often a command may be released uncharged (concurrency, rule 2)."""
_RELEASE_BACKOFF_MS = 1000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a command is attempted, and how long to wait in between, in milliseconds."""

    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry after `delay_ms`. An uncharged retry is a release and does not count as an attempt."""

    delay_ms: int
    charged: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make no further attempt, for this reason. Stored in the transaction that ends the last one (failures, row 8)."""

    reason: FailureCode


def decide(
    failure: Failure, policy: RetryPolicy, *, charged: int, released: int, draw: random.Random
) -> Retry | GiveUp:
    """Decide after a failed attempt. `charged` and `released` count the command's earlier attempts and releases.

    The delay is uniformly random between zero and the exponential cap ("full jitter"), so that commands that failed
    together are not retried together.
    """
    if not failure.charged:
        if released >= MAX_RELEASES:
            return GiveUp(FailureCode.RELEASED_TOO_OFTEN)
        return Retry(_jitter(draw, min(_RELEASE_BACKOFF_MS, 50 * 2**released)), charged=False)
    if not failure.retryable or charged + 1 >= policy.max_attempts:
        return GiveUp(failure.code)
    return Retry(_jitter(draw, min(policy.max_backoff_ms, policy.backoff_ms * 2**charged)), charged=True)


def _jitter(draw: random.Random, cap_ms: int) -> int:
    return round(draw.uniform(0, cap_ms))
