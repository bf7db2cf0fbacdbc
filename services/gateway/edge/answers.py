"""What goes out: whole answers, as the edge sends them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Send

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Sent:
    """A whole answer: status, body and headers; `reason` is there when it is a refusal, for the log."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Sent:
    """Write a JSON value as an answer."""
    return Sent(status, orjson.dumps(value), JSON, headers or {})


async def send_answer(send: Send, answer: Sent, *, is_last: bool = True) -> None:
    """Send an answer; when this is not the last of it, an empty part of the body has to follow."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    if answer.status != 204:
        headers.append((b"content-type", answer.content_type.encode()))
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": not is_last})
