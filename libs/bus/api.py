"""JetStream's management API: JSON requests and responses, with typed errors."""

from typing import Any

import orjson

from libs.bus.client import subject_bytes
from libs.bus.connection import Bus
from libs.bus.errors import (
    BrokerRefusedError,
    BusError,
    BusUnavailableError,
    ConsumerMissingError,
    InvalidMessageError,
    StreamMissingError,
)
from libs.bus.replies import Replies

_PREFIX = "$JS.API."

CONSUMER_NOT_FOUND = 10014
STREAM_NOT_FOUND = 10059
NO_MESSAGE_FOUND = 10037
STREAM_NAME_IN_USE = 10058  # the stream exists with another configuration
# No leader, JetStream off or starting, resources short, no quorum: each ends without any action of ours.
_PASSING = frozenset({10008, 10009, 10023, 10035, 10039, 10076})

Json = dict[str, Any]


def broker_error(error: Json) -> BusError:
    """Return the typed error for the `error` object of a response."""
    code, description = error.get("err_code", 0), error.get("description", "")
    if code == STREAM_NOT_FOUND:
        return StreamMissingError(description)
    if code == CONSUMER_NOT_FOUND:
        return ConsumerMissingError(description)
    if code in _PASSING:
        return BusUnavailableError(f"{description} ({code})")
    return BrokerRefusedError(code, description)


class JetStreamApi:
    """Sends requests to the broker's JetStream API."""

    def __init__(self, bus: Bus) -> None:
        self._replies = Replies(bus, _decode)

    async def ask(self, operation: str, body: Json | None = None) -> Json:
        """Send one request, such as `STREAM.INFO.<name>`, and wait at most 5 s for its response.

        Raises the error that the response holds, or BusUnavailableError when there is no response.
        """
        payload = b"" if body is None else orjson.dumps(body)
        return await self._replies.request(subject_bytes(_PREFIX + operation), payload)


def name_token(name: str) -> str:
    """Return the name of a stream or consumer if it can be part of a subject; raises InvalidMessageError."""
    if not name or any(character in name for character in "*>./\\") or not name.isprintable() or " " in name:
        raise InvalidMessageError(f"not a name of a stream or consumer: {name!r}")
    return name


def _decode(header: bytes, payload: bytes) -> Json:
    if header.startswith(b"NATS/1.0 503"):
        raise BusUnavailableError("the broker runs without JetStream, or it is starting")
    answer: Json = orjson.loads(payload)
    if "error" in answer:
        raise broker_error(answer["error"])
    return answer
