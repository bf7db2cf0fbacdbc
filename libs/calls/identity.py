"""The actor and the idempotency key of a call."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a call, and from which address. Audit events record both."""

    tenant_id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one operation, and the hash of the request that was sent with it."""

    method: str
    key: str
    hash: bytes
