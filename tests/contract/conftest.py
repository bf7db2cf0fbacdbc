"""Fixtures of the contract tests, defined in `tests/support`."""

from tests.support.suite_fixtures import broker_url, client, command_replicas, executor, session, session_id, suite

__all__ = ["broker_url", "client", "command_replicas", "executor", "session", "session_id", "suite"]
