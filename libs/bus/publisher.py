"""Publishes to streams. The broker confirms each message."""

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

WINDOW = 256  # unconfirmed messages at a time; the broker would queue more in its memory

_HEADER_BREAKING = re.compile(r"[\r\n\x00]")


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish. A stream stores messages with equal ids once within its duplicate window."""

    subject: str
    payload: bytes
    message_id: str


@dataclass(frozen=True, slots=True)
class PubAck:
    """The stream stored the message at `sequence`, or had stored it there before (`duplicate`)."""

    stream: str
    sequence: int
    duplicate: bool


class Publisher:
    """Publishes messages, at most `window` of them unconfirmed at a time."""

    def __init__(self, bus: Bus, *, window: int = WINDOW) -> None:
        self._window = window
        self._room = asyncio.Event()
        self._replies = Replies(bus, _decode, self._room.set)

    async def publish(self, subject: str, payload: bytes, message_id: str) -> PubAck:
        """Publish one message and wait until the stream has stored it; see `publish_many` for the errors."""
        return await (await self._send(subject, payload, message_id))

    async def publish_many(self, messages: Sequence[Message]) -> list[PubAck | BusError]:
        """Publish messages in this order, without waiting in between; return an outcome for each, in the same order.

        StreamMissingError: no stream takes the subject. BrokerRefusedError: the stream is full or its settings forbid
        the message. InvalidMessageError: the subject, id or size is invalid. BusUnavailableError: the broker is away
        or did not confirm within 5 s; it may have stored the message, so publish it again with the same id.
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
                    each.cancel()  # the caller was cancelled and will not ask for these
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
