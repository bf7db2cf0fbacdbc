"""The owner of a key."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard.auth.v1.auth_pb2 import Role


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A stored key. `role` is `viewer`, `operator` or `admin`; `expires_at` has a time zone."""

    tenant_id: str
    key_id: str
    key_hash: bytes = field(repr=False)
    role: str
    expires_at: datetime | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class Principal:
    """The owner of a key. `expires_at` is in seconds since the epoch; None means never."""

    tenant_id: str
    key_id: str
    role: "Role.ValueType"
    expires_at: float | None
    key_hash: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The principal's name in events and logs."""
        return f"key:{self.key_id}"
