"""Reads Server-Sent Events."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True)
class Frame:
    """One Server-Sent Event."""

    id: str
    event: str
    data: dict[str, Any]


async def frames_of(answer: httpx2.Response) -> AsyncIterator[Frame]:
    """The events of an SSE response, without comments and frames that have only an id."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "data" in fields:
                yield Frame(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))
            fields = {}
