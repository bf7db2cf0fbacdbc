"""Who calls, and under which key."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and from where; both go into the audit events."""

    tenant_id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one operation, and the hash of the request that it stands for."""

    method: str
    key: str
    hash: bytes
