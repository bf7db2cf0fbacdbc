"""Fixtures of all tests, defined in `tests/support`."""

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

# No deadline: a busy machine must not fail a test.
settings.register_profile("callboard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callboard")


def pytest_configure() -> None:
    """Raises the limit of file descriptors: the usual 1,024 are fewer than this process needs.

    It keeps the port of every server that a test starts reserved until its own end.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    gc.disable()


def pytest_collection_finish() -> None:
    """Excludes imported modules and collected tests from garbage collection, because they stay until the end.

    Otherwise each test would scan half a million objects again.
    """
    gc.freeze()
    gc.enable()
