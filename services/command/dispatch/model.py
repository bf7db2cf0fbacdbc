"""The values of dispatch."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A command that may be delivered. It has only ids; the rest is in the database (failures, row 1)."""

    tenant_id: str
    partition: int
    priority: int
    runner_id: UUID
    command_id: UUID
    dispatch_no: int
