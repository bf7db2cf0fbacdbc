"""When a crashed child is restarted."""

from libs.embedded import RestartPolicy


def test_waits_grow_to_a_limit_until_restarts_end() -> None:
    policy = RestartPolicy(restarts=5, within=60, first_delay=0.1, longest_delay=1.0)
    assert [policy.delay(crashes) for crashes in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, None]
