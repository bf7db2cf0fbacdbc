"""The lease under which a runner executes a command."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CommandLease:
    """A command, and the token of the claim that leased it to a runner."""

    tenant_id: str
    partition: int
    command_id: UUID
    lease_token: UUID
