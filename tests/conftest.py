"""Fixtures for all tests; they live in `tests/support`."""

import gc
import resource

from hypothesis import HealthCheck, settings

from tests.support.distribution import (
    pytest_collection_modifyitems,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)
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
    "pytest_collection_modifyitems",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]

_MOST_FILES = 65_536

# Time is no promise of a test: a busy machine must not fail one.
settings.register_profile("callboard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callboard")


def pytest_configure() -> None:
    """Takes as many descriptors as the system allows: 1,024 is what many begin with, and fewer than this process needs.

    It holds the port of every server that a test starts for as long as it lives, so that nobody else gets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    gc.disable()


def pytest_collection_finish() -> None:
    """Keeps the garbage collector away from what was imported and collected: all of it stays until the end.

    Half a million objects would be looked through again and again, while they are made and in every test.
    """
    gc.freeze()
    gc.enable()
