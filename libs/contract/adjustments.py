"""Adjusts the requests for which no option of the contract can say what their JSON means.

Readers do it, so that REST and `callboard call` agree.
"""

from collections.abc import Callable, Mapping
from typing import Any

from callboard.events.v1 import events_pb2

_STARTS = {"start": events_pb2.STREAM_START_BEGINNING, "now": events_pb2.STREAM_START_NOW}
_IGNORED = "echo"


def _begin_stream(request: Any) -> None:
    """Read `from`, which is an event's cursor, or `start` or `now`."""
    if start := _STARTS.get(request.cursor):
        request.start, request.cursor = start, ""


def _fill_connector(request: Any) -> None:
    """Add a connector if none is given: the contract requires one, and the service ignores it without the mask."""
    if not request.agent.HasField("connector"):
        request.agent.connector.kind = _IGNORED


ADJUSTMENTS: Mapping[str, Callable[[Any], None]] = {
    "callboard.events.v1.StreamEventsRequest": _begin_stream,
    "callboard.agents.v1.UpdateAgentRequest": _fill_connector,
}
"""The functions that complete a request, by the full name of its message."""
