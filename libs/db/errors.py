"""Sorts database errors by what the caller can do about them."""

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from libs.errors import Reason, ServiceError

UNREACHABLE = (psycopg.OperationalError, PoolTimeout, PoolClosed)
"""Errors that mean: the database could not be reached or did not answer. The outcome of a write may be unknown."""


class BusyError(ServiceError):
    """The statement was rolled back for a transient reason. It had no effect and can be run again."""

    def __init__(self) -> None:
        super().__init__(Reason.DATABASE_UNAVAILABLE, "the database is too busy; try again")


def is_retryable(error: BaseException) -> bool:
    """Return whether a deadlock, a serialization failure or a lock timeout rolled the transaction back."""
    if isinstance(error, BusyError):
        return True
    state = getattr(error, "sqlstate", None) or ""
    return state[:2] == "40" or state == "55P03"


def is_rejected_data(error: BaseException) -> bool:
    """Return whether the data itself was rejected (SQLSTATE classes 22, 23 and 54): bisecting a batch finds it."""
    state = getattr(error, "sqlstate", None) or ""
    return state[:2] in ("22", "23", "54")


def database_unavailable() -> ServiceError:
    """Return the error for a database that cannot be reached."""
    return ServiceError(Reason.DATABASE_UNAVAILABLE, "the database cannot be reached; try again")
