"""Equal requests of one batch are one (concurrency, rule 8)."""

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
    """Fold items with equal keys and hashes into the first. Returns what is kept, and for each item its index there.

    One that reuses a key of the same batch for another request stays, and the database rejects it.
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
    """Return the keys and hashes of a batch as `idempotency.take` takes them: none when no item has a key."""
    if all(item.key is None for item in items):
        return [], []
    keys = [item.key for item in items]
    return [key.key if key else None for key in keys], [key.hash if key else None for key in keys]
