"""What an error of the database means for the caller's work."""

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from libs.errors import Reason, ServiceError

UNREACHABLE = (psycopg.OperationalError, PoolTimeout, PoolClosed)
"""Errors after which the database could not be asked, or did not answer; the outcome of a write may be unknown."""


class BusyError(ServiceError):
    """The statement was rolled back for a reason that passes; it has done nothing and may be run again."""

    def __init__(self) -> None:
        super().__init__(Reason.DATABASE_UNAVAILABLE, "the database is too busy; try again")


def is_retryable(error: BaseException) -> bool:
    """Tell whether the transaction was rolled back for a reason that passes: deadlock, serialisation, lock timeout."""
    if isinstance(error, BusyError):
        return True
    state = getattr(error, "sqlstate", None) or ""
    return state[:2] == "40" or state == "55P03"


def is_refused_data(error: BaseException) -> bool:
    """Tell whether something in the batch itself was refused (classes 22, 23 and 54), so that bisecting finds it."""
    state = getattr(error, "sqlstate", None) or ""
    return state[:2] in ("22", "23", "54")


def database_unavailable() -> ServiceError:
    """Make the refusal for a database that cannot be reached."""
    return ServiceError(Reason.DATABASE_UNAVAILABLE, "the database cannot be reached; try again")
