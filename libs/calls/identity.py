"""The actor of a call."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a call, and from which address. Audit events record both."""

    tenant_id: str
    name: str
    address: str
