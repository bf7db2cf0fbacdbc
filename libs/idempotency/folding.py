"""Folds equal requests of a batch into one (concurrency, rule 8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.idempotency.model import IdempotencyKey


@dataclass(frozen=True, slots=True)
class KeyedItem:
    """An item of a batch, with its caller's key."""

    key: IdempotencyKey | None
    body: dict[str, Any]


def folded(items: Sequence[KeyedItem]) -> tuple[list[KeyedItem], list[int]]:
    """Keep the first of the items with equal keys and hashes. Returns the kept items, and each item's index in them.

    An item that reuses a key of the batch for another request is kept too. The database rejects it.
    """
    indexes: dict[IdempotencyKey, int] = {}
    kept: list[KeyedItem] = []
    of_items = []
    for item in items:
        index = len(kept) if item.key is None else indexes.setdefault(item.key, len(kept))
        if index == len(kept):
            kept.append(item)
        of_items.append(index)
    return kept, of_items


def key_columns(items: Sequence[KeyedItem]) -> tuple[list[str | None], list[bytes | None]]:
    """Return the parameters of `idempotency.take` for a batch: keys and hashes, both empty when no item has a key."""
    if all(item.key is None for item in items):
        return [], []
    keys = [item.key for item in items]
    return [key.key if key else None for key in keys], [key.hash if key else None for key in keys]
