"""Publishing to streams, each message confirmed by the broker."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from libs.bus.api import broker_error
from libs.bus.client import subject_bytes
from libs.bus.connection import Bus
from libs.bus.errors import BusError, BusUnavailableError, InvalidMessageError, StreamMissingError
from libs.bus.replies import REPLY_SECONDS, Replies

WINDOW = 256  # messages under way at a time; the broker queues what is above in its memory

_HEADER_BREAKING = re.compile(r"[\r\n\x00]")


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish; the stream folds those with equal ids inside its duplicate window."""

    subject: str
    payload: bytes
    message_id: str


@dataclass(frozen=True, slots=True)
class PubAck:
    """The stream has stored the message at `sequence`, or had it there already (`duplicate`)."""

    stream: str
    sequence: int
    duplicate: bool


class Publisher:
    """Publishes, at most `window` messages under way; one inbox, no subscription for each."""

    def __init__(self, bus: Bus, *, window: int = WINDOW) -> None:
        self._window = window
        self._room = asyncio.Event()
        self._replies = Replies(bus, _decode, self._room.set)

    async def publish(self, subject: str, payload: bytes, message_id: str) -> PubAck:
        """Publish and wait until the stream has stored it; see `publish_many` for the errors."""
        return await (await self._send(subject, payload, message_id))

    async def publish_many(self, messages: Sequence[Message]) -> list[PubAck | BusError]:
        """Publish in this order, pipelined; answers for each what came of it, in the same order.

        StreamMissingError: no stream takes the subject. BrokerRefusedError: the stream is full, or its rules
        forbid it. InvalidMessageError: subject, id or size. BusUnavailableError: not confirmed within 5 s, or
        the broker is away; it may have been stored, publish it again with the same id.
        """
        sent: list[asyncio.Future[PubAck] | BusError] = []
        outcomes: list[PubAck | BusError] = []
        try:
            for message in messages:
                try:
                    sent.append(await self._send(message.subject, message.payload, message.message_id))
                except BusError as error:
                    sent.append(error)
            for each in sent:
                outcome = each if isinstance(each, BusError) else await _outcome(each)
                outcomes.append(outcome)
        finally:
            for each in sent[len(outcomes) :]:
                if isinstance(each, asyncio.Future):
                    each.cancel()  # the caller was cancelled: nobody will ask for these
        return outcomes

    async def _send(self, subject: str, payload: bytes, message_id: str) -> "asyncio.Future[PubAck]":
        if not message_id or _HEADER_BREAKING.search(message_id):
            raise InvalidMessageError(f"not a message id: {message_id!r}")
        if len(self._replies) >= self._window:
            await self._wait_for_room()
        header = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % message_id.encode()
        return self._replies.request(subject_bytes(subject), payload, header)

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                while len(self._replies) >= self._window:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError as error:
            raise BusUnavailableError(f"{self._window} messages unconfirmed for {REPLY_SECONDS:g} s") from error


async def _outcome(future: "asyncio.Future[PubAck]") -> PubAck | BusError:
    try:
        return await future
    except BusError as error:
        return error


def _decode(header: bytes, payload: bytes) -> PubAck:
    if header.startswith(b"NATS/1.0 503"):
        raise StreamMissingError("no stream takes this subject")
    answer = orjson.loads(payload)
    if "error" in answer:
        raise broker_error(answer["error"])
    return PubAck(answer["stream"], answer["seq"], answer.get("duplicate", False))
