"""The values of dispatch, and the state machine of connections to agents."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class ConnectionState(StrEnum):
    """The states of the connection to a session's agent. The runner that closes it removes it."""

    WANTED = "wanted"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSING = "closing"


TRANSITIONS: Mapping[ConnectionState, frozenset[ConnectionState]] = {
    ConnectionState.WANTED: frozenset({ConnectionState.CONNECTING, ConnectionState.CLOSING}),
    ConnectionState.CONNECTING: frozenset({ConnectionState.CONNECTED, ConnectionState.WANTED, ConnectionState.CLOSING}),
    ConnectionState.CONNECTED: frozenset({ConnectionState.WANTED, ConnectionState.CLOSING}),
    ConnectionState.CLOSING: frozenset(),
}
"""The states that each state may change to. The lists of states in SQL are generated from it: see `tools.sql`."""
HELD = frozenset(state for state, following in TRANSITIONS.items() if ConnectionState.WANTED in following)
"""The states in which a runner holds the connection, and can lose it."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A command that may be delivered. It has only ids; the rest is in the database (failures, row 1)."""

    tenant_id: str
    partition: int
    priority: int
    runner_id: UUID
    command_id: UUID
    dispatch_no: int
