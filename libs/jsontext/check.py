"""The rules for JSON that callers send as text."""

from typing import Any

import orjson

from libs.errors import ServiceError, field_invalid

MAX_DEPTH = 64
"""The deepest allowed nesting of objects and arrays."""


def check_object(text: str, field: str) -> str:
    """Return `text`, or `{}` if it is empty. Raises FIELD_INVALID, which names `field`, if it cannot be stored.

    It must be a JSON object, nested no deeper than `MAX_DEPTH`, without NUL characters and lone surrogates, which
    Postgres cannot store.
    """
    if not text:
        return "{}"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _error_of(field, f"must be JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise _error_of(field, "must be a JSON object")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value, MAX_DEPTH) > MAX_DEPTH:
        raise _error_of(field, f"must not be nested deeper than {MAX_DEPTH}")
    if "\\u0000" in text and _has_nul(value):
        raise _error_of(field, "must not contain NUL characters")
    return text


def _error_of(field: str, rule: str) -> ServiceError:
    return field_invalid(field, rule)


def _depth(value: Any, limit: int) -> int:
    """Return the nesting depth of `value`. Stops counting at `limit` + 1."""
    level, depth = [value], 0
    while level and depth <= limit:
        depth += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    return depth


def _has_nul(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\x00" in item:
                return True
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False
