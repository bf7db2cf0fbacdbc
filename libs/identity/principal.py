"""Who stands behind a key."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard.auth.v1.auth_pb2 import Role


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is stored; `role` is one of `viewer`, `operator`, `admin`, `expires_at` has a time zone."""

    tenant_id: str
    key_id: str
    key_hash: bytes = field(repr=False)
    role: str
    expires_at: datetime | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a key belongs to, and until when (seconds since the epoch; None is for ever)."""

    tenant_id: str
    key_id: str
    role: "Role.ValueType"
    expires_at: float | None
    key_hash: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The principal's name in events and logs."""
        return f"key:{self.key_id}"
