"""Idempotency keys: the same key and request get the same answer for 24 hours (ADR 0022)."""

from libs.idempotency.errors import check_key, key_error
from libs.idempotency.folding import KeyedItem, folded, key_columns
from libs.idempotency.model import IdempotencyKey, KeyCode, KeyState, Taken
from libs.idempotency.requests import fingerprint, key_of
from libs.idempotency.store import LEASE_SECONDS, KeyStore, PostgresKeys
from libs.idempotency.uses import LeasedUse, idempotent, leased

__all__ = [
    "LEASE_SECONDS",
    "IdempotencyKey",
    "KeyCode",
    "KeyState",
    "KeyStore",
    "KeyedItem",
    "LeasedUse",
    "PostgresKeys",
    "Taken",
    "check_key",
    "fingerprint",
    "folded",
    "idempotent",
    "key_columns",
    "key_error",
    "key_of",
    "leased",
]
