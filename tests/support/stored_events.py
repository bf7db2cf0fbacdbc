"""The stored events of a session, and checks of them."""

from collections import Counter
from typing import Any

from callboard.events.v1.events_pb2 import Event, ListEventsRequest
from libs.rpc.stubs import Stubs


async def events_of(client: Stubs, session_id: str, **fields: Any) -> list[Event]:
    """All events of a session, page by page."""
    found: list[Event] = []
    token = ""
    while True:
        request = ListEventsRequest(session_id=session_id, page_token=token, page_size=500, **fields)
        page = await client.events.ListEvents(request)
        found += page.events
        token = page.next_page_token
        if not token:
            return found


def types_of(events: list[Event]) -> list[str]:
    """The types of events, in order."""
    return [event.type for event in events]


async def event_types(client: Stubs, session_id: str, command_id: str) -> list[str]:
    """The types of a command's events, in order."""
    return types_of([event for event in await events_of(client, session_id) if event.command_id == command_id])


def assert_gapless(events: list[Event]) -> None:
    """Checks that the seqs count from 1 without gaps."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def audit_counts(events: list[Event]) -> Counter[str]:
    """The number of events of each type at level audit."""
    return Counter(event.type for event in events if event.level == 4)


async def outcomes_of(client: Stubs, session_id: str) -> Counter[str]:
    """How often each command of a session has ended; fails for a gap in the events."""
    ends = ("command.completed", "command.failed", "command.cancelled")
    events = await events_of(client, session_id)
    assert_gapless(events)
    return Counter(event.command_id for event in events if event.type in ends)
