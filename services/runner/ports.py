"""What a runner needs of storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.attempts import Finish, Report
from services.runner.attempts.ports import Claim, Work
from services.runner.connections.ports import WantedConnection


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a runner: commands to cancel and those to let go of, because they are its own no longer;
    connections (tenant, session) to close and to kill; and what it has as far as the database knows: connections
    (tenant, session), and commands for longer than a moment (tenant, partition, command, lease token)."""

    cancel: Sequence[UUID]
    taken: Sequence[UUID]
    close: Sequence[tuple[str, UUID]]
    kill: Sequence[tuple[str, UUID]]
    owned: Sequence[tuple[str, UUID]]
    running: Sequence[tuple[str, int, UUID, UUID]]


class WorkStore(Protocol):
    """What runners do. Every write to a running command is fenced by its lease token."""

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Enter a runner, with a first lease of so many seconds."""

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the runner's lease; false when it was declared dead: it owns nothing any more."""

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead by its own wish; what it still holds is taken from it at once."""

    async def asked_of(self, runner_id: UUID, executing: Sequence[tuple[str, UUID, UUID]]) -> Asked:
        """Return what is asked of a runner that executes these (tenant, command, lease token)."""

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        """Take sessions that want a connection."""

    async def connected(self, tenant_id: str, part: int, runner_id: UUID, session_uid: UUID, event: str) -> bool:
        """Say that a session's agent is connected; false when the session is no longer the runner's."""

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        """Give a connection back, to be tried by anyone after so many seconds."""

    async def fail_session(self, tenant_id: str, part: int, session_uid: UUID, actor: str, error: str) -> None:
        """Fail a session whose agent cannot be connected."""

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        """Say that a connection is closed."""

    async def work(self, tenant_id: str, command_id: UUID) -> Work | None:
        """Return what is to be done for a command, None when there is none."""

    async def claim(self, tenant_id: str, part: int, runner_id: UUID, command_id: UUID) -> Claim:
        """Claim a command for a runner."""

    async def report(self, tenant_id: str, part: int, report: Report) -> bool:
        """Store progress or output; false when the lease is gone."""

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> str:
        """End an attempt; answers the state that the command is in now, or `fenced`."""
