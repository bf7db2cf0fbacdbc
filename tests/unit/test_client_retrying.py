"""When the clients retry a call, and when they give up."""

import grpc
import pytest

from callboard import CallboardError
from callboard.retrying import Attempts, Backoff, Patience
from tests.support.eventually import eventually

AWAY = CallboardError(grpc.StatusCode.UNAVAILABLE, "nobody answers")


def test_repeatable_call_is_retried_when_the_service_is_unavailable() -> None:
    assert Attempts(60, repeatable=True).wait_after(AWAY) is not None


def test_call_without_an_idempotency_key_is_sent_once() -> None:
    assert Attempts(60, repeatable=False).wait_after(AWAY) is None


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.UNAVAILABLE])
def test_call_that_got_an_answer_is_not_retried(code: grpc.StatusCode) -> None:
    assert Attempts(60, repeatable=True).wait_after(CallboardError(code, "no")) is None


def test_call_whose_first_attempt_still_runs_is_retried() -> None:
    error = CallboardError(grpc.StatusCode.ABORTED, "wait", reason="IDEMPOTENCY_KEY_IN_USE")
    assert Attempts(60, repeatable=True).wait_after(error) is not None


def test_no_wait_exceeds_the_deadline() -> None:
    attempts = Attempts(0, repeatable=True)
    assert attempts.remaining() == 0
    assert attempts.wait_after(AWAY) is None


def test_waits_have_full_jitter_and_a_limit() -> None:
    waits = [[backoff.next() for _ in range(12)] for backoff in (Backoff() for _ in range(50))]
    for number, longest in enumerate([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]):
        found = [wait[number] for wait in waits]
        assert max(found) <= longest
        assert min(found) < longest / 2 < max(found)


def test_rejected_stream_is_not_reopened() -> None:
    assert Patience(60).wait_after(CallboardError(grpc.StatusCode.NOT_FOUND, "no")) is None


async def test_patience_starts_at_the_break_and_not_at_the_last_event() -> None:
    patience = Patience(0.2)
    patience.heard()
    assert patience.wait_after(AWAY) is not None  # patience starts at the break
    await eventually(lambda: patience.wait_after(AWAY) is None, timeout=2)


def test_stream_that_ended_early_is_reopened() -> None:
    assert Patience(0).wait_after(None) is not None
