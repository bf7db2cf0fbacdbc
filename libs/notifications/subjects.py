"""Subjects and formats of notifications. They contain only data that their readers can read from the database."""

from uuid import UUID

EVENTS = "events"
CONNECTIONS_WANTED = "callboard.connections.wanted"
COMMANDS_WAITING = "callboard.commands.waiting"
SESSIONS_CLOSING = "callboard.sessions.closing"


def events_subject(tenant_id: str, partition: int) -> str:
    """Return the subject of a log partition's notifications."""
    return f"{EVENTS}.{tenant_id}.{partition}"


def runner_subject(runner_id: UUID | str) -> str:
    """Return the subject for the notifications of a runner."""
    return f"callboard.runner.{runner_id}"


def encode_notification(first: int, last: int, lines: str | None) -> bytes:
    """Encode a notification: the first and last position appended, then the events as lines if they are included."""
    head = f"{first} {last}\n"
    return (head + lines).encode() if lines else head.encode()


def decode_notification(data: bytes) -> tuple[int, int, bytes]:
    """Decode a notification: first position, last position, and the lines of the events, if included."""
    head, _, lines = data.partition(b"\n")
    first, last = head.split(b" ")
    return int(first), int(last), lines
