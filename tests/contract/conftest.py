"""Fixtures of the contract tests, defined in `tests/support`."""

from tests.support.idempotency_keys import admin, keys
from tests.support.suite_fixtures import broker_url, client, command_replicas, executor, session, session_id, suite

__all__ = ["admin", "broker_url", "client", "command_replicas", "executor", "keys", "session", "session_id", "suite"]
