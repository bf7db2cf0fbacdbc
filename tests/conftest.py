"""Fixtures for all tests; they live in `tests/support`."""

import resource

from tests.support.engines import (
    app_database_url,
    database_name,
    database_url,
    migrated_template,
    nats_server,
    postgres,
)

__all__ = [
    "app_database_url",
    "database_name",
    "database_url",
    "migrated_template",
    "nats_server",
    "postgres",
]

_MOST_FILES = 65_536


def pytest_configure() -> None:
    """Takes as many descriptors as the system allows: 1,024 is what many begin with, and fewer than this process needs.

    It holds the port of every server that a test starts for as long as it lives, so that nobody else gets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
