"""Equal requests of one batch are one (concurrency, rule 8)."""

from collections.abc import Sequence
from typing import Any


def folded(items: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[int]]:
    """Fold items with equal keys and hashes into the first; returns what is kept, and for each item its place there."""
    places: dict[tuple[str, str], int] = {}
    kept: list[dict[str, Any]] = []
    where = []
    for item in items:
        place = places.setdefault((item["key"], item["hash"]), len(kept)) if item["key"] else len(kept)
        if place == len(kept):
            kept.append(item)
        where.append(place)
    return kept, where
