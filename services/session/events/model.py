"""The events of the work stream, and cursors, which are positions between events."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

import orjson

from libs.errors import Reason, ServiceError
from libs.idempotency import KeyCode


class AppendCode(StrEnum):
    """The result of an append."""

    OK = "ok"
    SESSION_NOT_FOUND = "session_not_found"
    MOVED = "moved"
    NOT_ACTIVE = "not_active"
    REUSED = KeyCode.REUSED.value
    IN_USE = KeyCode.IN_USE.value


@dataclass(slots=True)
class Event:
    """A stored event. `position` orders it in its log partition, `seq` in its session; `micros` is its time."""

    position: int
    seq: int
    session_uid: str
    event_id: str
    type: str
    level: int
    session_id: str
    agent_id: str
    command_id: str
    correlation_id: str
    actor: str
    address: str
    micros: int
    payload: str


def events_of_lines(lines: bytes) -> list[Event]:
    """Parse the lines of a notification, which `session.event_line` wrote."""
    return [Event(*orjson.loads(line)) for line in lines.split(b"\n")]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that a caller appends; `payload` is the text of a JSON object."""

    type: str
    level: int
    command_id: str | None
    correlation_id: str
    payload: str


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a reader wants: exact types, families (`command.`), levels. Empty means all."""

    types: frozenset[str] = frozenset()
    families: tuple[str, ...] = ()
    levels: frozenset[int] = frozenset()

    @classmethod
    def of(cls, types: Sequence[str], levels: Sequence[int]) -> "EventFilter":
        """Return the filter that a request describes. A type with a trailing `.*` means a family."""
        families = tuple(t[:-1] for t in types if t.endswith(".*"))
        return cls(frozenset(t for t in types if not t.endswith(".*")), families, frozenset(levels))

    @property
    def takes_all(self) -> bool:
        """Whether every event matches."""
        return not (self.types or self.families or self.levels)

    def takes(self, event: Event) -> bool:
        """Whether the event matches."""
        if self.levels and event.level not in self.levels:
            return False
        if not self.types and not self.families:
            return True
        return event.type in self.types or event.type.startswith(self.families or ("\n",))


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a stream: a `seq` for a session, a log position for an agent, in one incarnation of the log."""

    scope: str
    incarnation: int
    at: int

    def text(self) -> str:
        """Encode the cursor for callers."""
        plain = f"1.{self.incarnation}.{crc32(self.scope.encode()):08x}.{self.at}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, scope: str) -> "Cursor":
        """Decode a cursor of `scope`; raises ServiceError CURSOR_INVALID."""
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
            version, incarnation, check, at = plain.split(".")
            cursor = cls(scope, int(incarnation), int(at))
        except (ValueError, binascii.Error) as error:
            raise _cursor_invalid("was not made by Callboard") from error
        if version != "1" or cursor.at < 0 or cursor.text() != text:
            raise _cursor_invalid("was not made by Callboard" if check == _check(scope) else "is of another scope")
        return cursor


def _check(scope: str) -> str:
    return f"{crc32(scope.encode()):08x}"


def _cursor_invalid(what: str) -> ServiceError:
    return ServiceError(Reason.CURSOR_INVALID, f"cursor {what}")
