"""Fixtures of the integration tests, defined in `tests/support`."""

from tests.support.misbehaving_connections import odd, record
from tests.support.suite_fixtures import broker_url, command_replicas, suite

__all__ = ["broker_url", "command_replicas", "odd", "record", "suite"]
