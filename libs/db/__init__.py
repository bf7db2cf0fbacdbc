"""Postgres: a pool whose connections act in one role, named SQL statements, and batching by key."""

from libs.db.errors import BusyError, database_unavailable, is_rejected_data, is_retryable
from libs.db.keyed_batcher import KeyedBatcher
from libs.db.pool import Database
from libs.db.queries import Queries
from libs.db.statements import load_statements

__all__ = [
    "BusyError",
    "Database",
    "KeyedBatcher",
    "Queries",
    "database_unavailable",
    "is_rejected_data",
    "is_retryable",
    "load_statements",
]
