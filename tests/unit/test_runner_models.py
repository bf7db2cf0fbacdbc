"""The decisions of the runner's slices, as values."""

from random import Random
from uuid import uuid4

import pytest

from services.runner.connections.model import MAX_CONNECT_ATTEMPTS, Losses, connect_delay, reconnect_delay
from services.runner.leases.model import LeaseTerm


def test_reconnect_delay_stays_bounded_after_many_losses() -> None:
    assert reconnect_delay(5000) == 30.0


def test_losses_are_counted_for_each_session() -> None:
    losses, one, other = Losses(), uuid4(), uuid4()
    assert [losses.count(one, 0.0), losses.count(one, 1.0), losses.count(other, 1.0)] == [1, 2, 1]


def test_losses_begin_again_after_two_minutes_without_one() -> None:
    losses, session = Losses(), uuid4()
    assert [losses.count(session, at) for at in (0.0, 119.0, 238.0, 358.0)] == [1, 2, 3, 1]


def test_losses_of_a_session_that_ended_are_forgotten() -> None:
    losses, session = Losses(), uuid4()
    losses.count(session, 0.0)
    losses.forget(session)
    assert losses.count(session, 0.0) == 1


@pytest.mark.parametrize("attempts", range(1, MAX_CONNECT_ATTEMPTS))
def test_failed_connect_is_tried_again_within_a_longer_time(attempts: int) -> None:
    delays = [connect_delay(attempts, Random(seed)) for seed in range(100)]
    assert all(delay is not None and 0.1 <= delay <= 0.5 * 2**attempts for delay in delays)


def test_last_attempt_to_connect_is_not_repeated() -> None:
    assert connect_delay(MAX_CONNECT_ATTEMPTS, Random(1)) is None


def test_lease_holds_for_its_length_after_the_last_heartbeat() -> None:
    term = LeaseTerm(length=6.0, heartbeat=2.0)
    term.begin(100.0)
    assert (term.left(104.0), term.was_renewed) == (2.0, False)
    term.renew(104.0)
    assert (term.left(104.0), term.was_renewed) == (6.0, True)


def test_failed_heartbeat_is_repeated_sooner_and_does_not_prolong_the_lease() -> None:
    term = LeaseTerm(length=6.0, heartbeat=2.0, renewed_at=100.0)
    term.doubt()
    assert (term.in_doubt, term.pause, term.left(105.0)) == (True, 0.5, 1.0)
    term.renew(105.0)
    assert (term.in_doubt, term.pause, term.left(105.0)) == (False, 2.0, 6.0)
