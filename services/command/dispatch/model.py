"""Where a committed command is handed over for delivery."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A command that may be delivered: ids only, the rest is in the database (failures, row 1)."""

    tenant_id: str
    partition: int
    priority: int
    runner_id: UUID
    command_id: UUID
    dispatch_no: int
