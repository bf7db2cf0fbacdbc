"""Creates and updates streams and consumers as specified, and reads their state."""

import base64
from datetime import datetime

import structlog

from libs.bus.api import NO_MESSAGE_FOUND, STREAM_NAME_IN_USE, JetStreamApi, Json, name_token
from libs.bus.connection import Bus
from libs.bus.errors import BrokerRefusedError, ConsumerMissingError, StreamMissingError
from libs.bus.specs import NANOSECONDS, ConsumerSpec, ConsumerState, StoredMessage, StreamSpec, StreamState

_log = structlog.get_logger("libs.bus")


class Streams:
    """Manages streams and consumers. Every method sends requests to the broker and waits at most 5 s for each reply.

    All methods raise BusUnavailableError when there is no reply. Unless they say otherwise, methods raise
    StreamMissingError or ConsumerMissingError when the named stream or consumer does not exist.
    """

    def __init__(self, bus: Bus) -> None:
        self._api = JetStreamApi(bus)

    async def ensure_stream(self, spec: StreamSpec) -> str:
        """Create the stream, or update what differs from the specification; return its epoch.

        Raises BrokerRefusedError when a difference cannot be updated (storage, more replicas than servers).
        """
        name = name_token(spec.name)
        try:
            found = await self._api.ask(f"STREAM.INFO.{name}")
        except StreamMissingError:
            found = await self._create_stream(spec)
        # The broker omits settings that have their default.
        drift = {key: wanted for key, wanted in spec.config().items() if found["config"].get(key) != wanted}
        if drift:
            _log.warning("bus.stream_drifted", stream=spec.name, settings=sorted(drift))
            found = await self._api.ask(f"STREAM.UPDATE.{name}", found["config"] | drift)
        return _epoch(found)

    async def _create_stream(self, spec: StreamSpec) -> Json:
        try:
            return await self._api.ask(f"STREAM.CREATE.{spec.name}", spec.config())
        except BrokerRefusedError as error:
            if error.code != STREAM_NAME_IN_USE:
                raise
            # Another process has created it from another version of the specification.
            return await self._api.ask(f"STREAM.INFO.{spec.name}")

    async def stream_state(self, stream: str) -> StreamState:
        """Read the state of the stream."""
        found = await self._api.ask(f"STREAM.INFO.{name_token(stream)}")
        state = found["state"]
        return StreamState(
            epoch=_epoch(found),
            messages=state["messages"],
            size_bytes=state["bytes"],
            first_sequence=state["first_seq"],
            last_sequence=state["last_seq"],
            num_consumers=state["consumer_count"],
        )

    async def delete_stream(self, stream: str) -> bool:
        """Delete the stream and its messages; return False if it did not exist."""
        try:
            await self._api.ask(f"STREAM.DELETE.{name_token(stream)}")
        except StreamMissingError:
            return False
        return True

    async def purge_below(self, stream: str, sequence: int) -> int:
        """Delete all messages below `sequence`, delivered or not; return how many.

        For a sequence of 0 or 1 it does nothing: to the broker, a sequence of 0 means all messages.
        """
        if sequence <= 1:
            return 0
        body = {"seq": sequence}
        purged: int = (await self._api.ask(f"STREAM.PURGE.{name_token(stream)}", body))["purged"]
        return purged

    async def read_message(self, stream: str, sequence: int) -> StoredMessage | None:
        """Read one message without consuming it; return None if the stream does not hold it."""
        try:
            answer = await self._api.ask(f"STREAM.MSG.GET.{name_token(stream)}", {"seq": sequence})
        except BrokerRefusedError as error:
            if error.code != NO_MESSAGE_FOUND:
                raise
            return None
        message = answer["message"]
        return StoredMessage(message["subject"], base64.b64decode(message.get("data", "")), message["seq"])

    async def ensure_consumer(self, spec: ConsumerSpec) -> ConsumerState:
        """Create the consumer, or update what differs. An existing consumer keeps its position.

        Raises BrokerRefusedError when a difference cannot be updated.
        """
        stream, name = name_token(spec.stream), name_token(spec.name)
        body = {"stream_name": stream, "config": spec.config(), "action": ""}  # "" means create or update
        return _consumer_state(await self._api.ask(f"CONSUMER.CREATE.{stream}.{name}", body))

    async def consumer_state(self, stream: str, name: str) -> ConsumerState:
        """Read the state of a consumer."""
        return _consumer_state(await self._api.ask(f"CONSUMER.INFO.{name_token(stream)}.{name_token(name)}"))

    async def list_consumers(self, stream: str) -> list[ConsumerState]:
        """Read the state of all consumers of the stream, sorted by name; one request for every 256 of them."""
        listed: list[ConsumerState] = []
        while True:
            page = await self._api.ask(f"CONSUMER.LIST.{name_token(stream)}", {"offset": len(listed)})
            consumers = page.get("consumers") or []
            listed += [_consumer_state(each) for each in consumers]
            if not consumers or len(listed) >= page["total"]:
                return sorted(listed, key=lambda state: state.name)

    async def delete_consumer(self, stream: str, name: str) -> bool:
        """Delete a consumer; return False if it did not exist. Its messages stay in the stream."""
        try:
            await self._api.ask(f"CONSUMER.DELETE.{name_token(stream)}.{name_token(name)}")
        except ConsumerMissingError:
            return False
        return True


def _epoch(found: Json) -> str:
    """Return the stream's creation time in nanoseconds, which survives restarts of the broker."""
    whole, _, fraction = found["created"].removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return str(seconds * NANOSECONDS + int(fraction.ljust(9, "0") or 0))


def _consumer_state(found: Json) -> ConsumerState:
    return ConsumerState(
        name=found["name"],
        ack_floor_stream_seq=found["ack_floor"]["stream_seq"],
        delivered_stream_seq=found["delivered"]["stream_seq"],
        num_ack_pending=found["num_ack_pending"],
        num_pending=found["num_pending"],
        num_redelivered=found["num_redelivered"],
        waiting=found["num_waiting"],
    )
