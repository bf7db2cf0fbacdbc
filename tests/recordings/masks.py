"""Masks what differs between runs, and nothing else.

An id becomes the index of its first occurrence (`<start: session.taskId>`), so that equal ids stay equal. Times, etags,
cursors, durations and texts for people become their kind.
"""

import json
import re
from collections.abc import Mapping, Set
from datetime import UTC, datetime, timedelta
from typing import Any

_ID = re.compile(r"(?:[a-z]+-)?[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|\+00:00)")
_SPAN = re.compile(r"\d+(\.\d+)?s")
_ETAG = re.compile(r"(?<=\")[^\"]+(?=\"$)|^[^\"]+$")
_CURSORS = frozenset({"nextPageToken", "next_page_token", "cursor", "oldestCursor", "oldest_cursor", "id"})
_FRAME = frozenset({"id", "event", "data", "comment"})
_SPANS = frozenset({"duration", "durationMs", "connectMs"})
REST_DIGITS, RPC_DIGITS = {6}, {0, 3, 6, 9}
"""REST writes microseconds, protobuf's JSON mapping as many digits as it needs."""


class Masks:
    """The masks of one area."""

    def __init__(self, *, written: str, times: Mapping[str, int], keys: Mapping[str, str], digits: Set[int]) -> None:
        """`written` is the script's text, whose ids are not masked. `keys` are the roles' principals. `digits` are the
        allowed numbers of digits in a fraction of a second."""
        self._digits = digits
        self._labels = {id_: id_ for id_ in _ID.findall(written)}
        self._principals = {principal: f"key:<{role}>" for role, principal in keys.items()}
        now = datetime.now(UTC).replace(microsecond=0)
        self._moments = {now + timedelta(seconds=ahead): name for name, ahead in times.items()}

    def moments(self) -> dict[str, str]:
        """The script's times, as RFC 3339."""
        return {name: f"{moment:%Y-%m-%dT%H:%M:%S}Z" for moment, name in self._moments.items()}

    def answer(self, step: str, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Masks the answer of a step."""
        return {name: self._value((step, name), answer[name], answer) for name in sorted(answer)}

    def _value(self, path: tuple[str, ...], value: Any, siblings: Mapping[str, Any]) -> Any:
        match value:
            case dict():
                return {name: self._value((*path, name), value[name], value) for name in sorted(value)}
            case list():
                items = [self._value((*path, str(index)), item, {}) for index, item in enumerate(value)]
                return _ordered(path[-1], items)
            case str():
                return self._text(path, value, siblings)
            case int() | float() if path[-1] in _SPANS and not isinstance(value, bool):
                return "<seconds>" if path[-1] == "duration" else "<milliseconds>"
            case _:
                return value

    def _text(self, path: tuple[str, ...], text: str, siblings: Mapping[str, Any]) -> str:
        key = path[-1]
        if key == "rule" or not text:
            return text
        if key.lower() == "etag":
            return _ETAG.sub("<etag>", text, count=1)
        if key in _CURSORS and (key != "id" or siblings.keys() <= _FRAME):
            return "<cursor>"
        if key in _SPANS and _SPAN.fullmatch(text):
            return "<seconds>"
        if _is_prose(key, siblings):
            return "<text>"
        text = _TIME.sub(self._time, text)
        for principal, label in self._principals.items():
            text = text.replace(principal, label)
        return _ID.sub(lambda found: self._label(path, found[0]), text)

    def _time(self, found: re.Match[str]) -> str:
        whole, fraction, zone = found.groups(default="")
        moment = datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
        name = self._moments.get(moment, "time")
        # Only times in payloads of events, written by Postgres or Python, have a numeric zone.
        odd = "" if zone != "Z" or len(fraction) in self._digits else f", {len(fraction)} digits"
        return f"<{name}{odd}>" + zone.removeprefix("Z")

    def _label(self, path: tuple[str, ...], id_: str) -> str:
        step, _, *inner = path
        label: str = self._labels.setdefault(id_, f"<{step}: {'.'.join(inner)}>")
        return label


def _is_prose(key: str, siblings: Mapping[str, Any]) -> bool:
    """Whether a text is for people: of a problem, a status or a failed attempt, unless a tool wrote it."""
    if key == "detail":
        return True
    return key == "message" and ("code" in siblings or "reason" in siblings) and siblings.get("code") not in (
        "TOOL_ERROR", "ERROR_REASON_TOOL_ERROR",
    )  # fmt: skip


def _ordered(key: str, items: list[Any]) -> list[Any]:
    """Sorts violations, whose order is not promised."""
    return sorted(items, key=json.dumps) if key in ("errors", "violations") else items
