"""Folds repeated requests of one batch into one (concurrency, rule 8)."""

from collections.abc import Sequence
from typing import Any


def folded(items: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[int]]:
    """Fold items with the same key and hash into the first of them.

    Returns the items that are kept, and for each given item the index of the kept one that answers it.
    """
    indexes: dict[tuple[str, str], int] = {}
    kept: list[dict[str, Any]] = []
    answered_by = []
    for item in items:
        index = indexes.setdefault((item["key"], item["hash"]), len(kept)) if item["key"] else len(kept)
        if index == len(kept):
            kept.append(item)
        answered_by.append(index)
    return kept, answered_by
