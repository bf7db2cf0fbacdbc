"""Fixtures for all tests; they live in `tests/support`."""

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
