"""Subjects and forms. A signal carries nothing that its reader could not find in the database by itself."""

from uuid import UUID

EVENTS = "events"
CONNECTIONS_WANTED = "callboard.connections.wanted"
COMMANDS_WAITING = "callboard.commands.waiting"
SESSIONS_CLOSING = "callboard.sessions.closing"


def events_subject(tenant_id: str, part: int) -> str:
    """Return the subject of a log partition's hints."""
    return f"{EVENTS}.{tenant_id}.{part}"


def runner_subject(runner_id: UUID | str) -> str:
    """Return the subject on which a runner hears that something is asked of it."""
    return f"callboard.runner.{runner_id}"


def encode_notification(first: int, last: int, lines: str | None) -> bytes:
    """Write a hint: the first and last position appended, then the events as lines when they travel along."""
    head = f"{first} {last}\n"
    return (head + lines).encode() if lines else head.encode()


def decode_notification(data: bytes) -> tuple[int, int, bytes]:
    """Read a hint: first position, last position, and the lines of the events (empty when they did not travel)."""
    head, _, lines = data.partition(b"\n")
    first, last = head.split(b" ")
    return int(first), int(last), lines
