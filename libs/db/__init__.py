"""Postgres: connections that know their role, named SQL, and lanes that batch what waits anyway."""

from libs.db.errors import BusyError, database_unavailable, is_refused_data, is_retryable
from libs.db.keyed_batcher import KeyedBatcher
from libs.db.pool import Database
from libs.db.statements import load_statements

__all__ = [
    "BusyError",
    "Database",
    "KeyedBatcher",
    "database_unavailable",
    "is_refused_data",
    "is_retryable",
    "load_statements",
]
