"""The table of all routes, including the overrides."""

from collections.abc import Callable, Mapping
from functools import cache

from libs.contract import all_methods
from libs.contract.operations import Operation
from services.gateway.rest.overrides.events import agent_events, append_events, session_events
from services.gateway.rest.routes import Route, compiled_route

OVERRIDES: Mapping[str, Callable[[Operation], Route]] = {
    "getSessionEvents": session_events,
    "appendSessionEvents": append_events,
    "followAgentEvents": agent_events,
}
STREAM_RPC = "callboard.events.v1.EventService.StreamEvents"


@cache
def routes() -> tuple[Route, ...]:
    """Return all routes. A process compiles them once."""
    operations = [operation for method in all_methods() for operation in method.operations]
    return tuple(OVERRIDES.get(operation.id, compiled_route)(operation) for operation in operations)
