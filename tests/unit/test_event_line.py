"""The line of an event, which SQL writes and Python reads by position."""

import re
from dataclasses import fields
from pathlib import Path

from services.session.events.model import Event

_FUNCTION = Path(__file__).parents[2] / "services/session/events/functions/event_line.sql"


def test_event_line_writes_the_fields_of_an_event_in_their_order() -> None:
    _, body = _FUNCTION.read_text(encoding="utf-8").split("\nreturn ")
    assert re.findall(r"\bp_(\w+)", body) == [field.name for field in fields(Event)]
