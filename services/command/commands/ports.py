"""The storage and the dispatch queue that the use cases of commands need."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from libs.calls import Actor
from services.command.commands.model import (
    Cancel,
    Cancelled,
    Command,
    CommandFilter,
    NewCommand,
    OpenCommandFilter,
    Submitted,
)
from services.command.dispatch.model import Dispatch


class CommandStore(Protocol):
    """Stores commands. Each write is one transaction with its events, which are published after the commit."""

    async def submit(self, actor: Actor, method: str, command: NewCommand) -> Submitted:
        """Store a command, or return the answer of the command that its key was used for."""

    async def get(self, tenant_id: str, command_id: UUID) -> Command | None:
        """Return a command, None when there is none."""

    async def find(
        self, tenant_id: str, wanted: CommandFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Command]:
        """Return commands, newest first, after the keyset `{"at", "id"}`."""

    async def cancel(self, actor: Actor, command_ids: Sequence[UUID], how: Cancel) -> list[Cancelled]:
        """Cancel waiting commands, and ask the runners of running ones to stop.

        Returns the answers in order of the ids.
        """

    async def cancel_key(self, actor: Actor, key: str, how: Cancel) -> UUID | None:
        """Return the command that was submitted under a key. If there is none, record the cancel and return None."""

    async def open_ids(self, tenant_id: str, wanted: OpenCommandFilter, limit: int) -> list[UUID]:
        """Return the ids of commands that have not ended, oldest first."""


class DispatchQueue(Protocol):
    """Publishes dispatches in the background, after their commit."""

    def enqueue(self, dispatches: Sequence[Dispatch]) -> None:
        """Publish dispatches soon. Never raises and never waits. A lost dispatch is found again in `command.ready`."""
