"""The count of pull requests never asks for more than the free slots, and never stops asking."""

from hypothesis import given
from hypothesis import strategies as st

from libs.bus.pull_requests import PullRequests


def test_all_free_slots_are_requested_first_and_then_when_half_are_missing() -> None:
    requests = PullRequests(15)
    assert requests.shortfall(32) == 32
    requests.requested(32, 0)
    assert requests.shortfall(32) == 0
    for _ in range(15):
        requests.received()
    assert requests.shortfall(32) == 0
    requests.received()
    assert requests.shortfall(32) == 16


def test_single_free_slot_is_requested() -> None:
    requests = PullRequests(15)
    assert requests.shortfall(0) == 0
    assert requests.shortfall(1) == 1
    requests.requested(1, 0)
    assert requests.shortfall(1) == 0


def test_messages_that_a_request_returns_are_requested_again() -> None:
    requests = PullRequests(15)
    requests.requested(8, 0)
    requests.received()
    requests.returned(7)
    assert requests.outstanding == 0
    requests.returned(7)
    requests.received()
    assert requests.outstanding == 0


def test_unanswered_request_expires() -> None:
    requests = PullRequests(15)
    requests.requested(8, now=100)
    requests.requested(4, now=110)
    requests.forget_expired(now=114)
    assert requests.outstanding == 12
    requests.forget_expired(now=115)
    assert requests.outstanding == 4
    requests.forget_expired(now=125)
    assert requests.outstanding == 0


@given(st.lists(st.tuples(st.sampled_from(["ask", "receive", "return", "tick"]), st.integers(1, 50))))
def test_outstanding_messages_never_exceed_the_requested_ones(steps: list[tuple[str, int]]) -> None:
    requests, now = PullRequests(15), 0.0
    for step, number in steps:
        if step == "ask":
            wanted = requests.shortfall(number)
            assert requests.outstanding + wanted <= max(number, requests.outstanding)
            requests.requested(wanted, now)
        elif step == "receive":
            requests.received()
        elif step == "return":
            requests.returned(number)
        else:
            now += number
            requests.forget_expired(now)
        assert requests.outstanding >= 0
    requests.forget_expired(now + 15)
    assert requests.outstanding == 0
