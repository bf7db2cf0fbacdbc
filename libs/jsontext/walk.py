"""Walks parsed JSON of any shape without recursion."""

from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 64
"""The deepest allowed nesting of objects and arrays."""


def is_too_deep(value: Any, brackets: int) -> bool:
    """Whether a value is nested deeper than `MAX_DEPTH`.

    `brackets` is the number of opening brackets in its text. With few of them, nothing is walked.
    """
    if brackets <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the keys and the strings of a value, each with the path of the value that it is in."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, str):
            yield path, item
        elif isinstance(item, dict):
            for key, child in item.items():
                yield path, key
                stack.append((f"{path}.{key}" if path else key, child))
        elif isinstance(item, list):
            stack.extend((f"{path}[{index}]", child) for index, child in enumerate(item))


def _children(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
