"""What the publisher of dispatches concludes from the broker's answers, good and bad."""

from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from libs.bus import (
    BrokerRefusedError,
    Bus,
    BusError,
    BusUnavailableError,
    ConsumerMissingError,
    Message,
    PubAck,
    StreamMissingError,
    StreamState,
)
from libs.bus.specs import StoredMessage, StreamSpec
from libs.dispatches import COMMANDS, PROBE_SUBJECT
from services.command.dispatch import broker as module
from services.command.dispatch.broker import JetStreamBroker
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import BrokerAwayError

REFUSED, AWAY = BrokerRefusedError(10109, "sealed"), BusUnavailableError("no reply")


class ScriptedBroker:
    """A stream whose answers a test chooses: `errors` are raised by the methods of these names."""

    def __init__(self) -> None:
        self.state = StreamState("epoch 1", 0, 0, 1, 0, 0)
        self.errors: dict[str, BusError] = {}
        self.is_trimmed = False
        self.deleted = 0

    def _answer(self, method: str) -> None:
        if method in self.errors:
            raise self.errors[method]

    async def ensure_stream(self, spec: StreamSpec) -> str:
        self._answer("ensure_stream")
        return self.state.epoch

    async def stream_state(self, stream: str) -> StreamState:
        self._answer("stream_state")
        return self.state

    async def read_message(self, stream: str, sequence: int) -> StoredMessage | None:
        return None if self.is_trimmed else StoredMessage(PROBE_SUBJECT, b"", sequence)

    async def consumer_state(self, stream: str, name: str) -> Any:
        self._answer("consumer_state")

    async def list_consumers(self, stream: str) -> list[Any]:
        self._answer("list_consumers")
        return []

    async def purge_below(self, stream: str, sequence: int) -> int:
        self._answer("purge_below")
        return 0

    async def delete_stream(self, stream: str) -> bool:
        self.deleted += 1
        return True

    async def publish(self, subject: str, payload: bytes, message_id: str) -> PubAck:
        self._answer("publish")
        self.state = replace(self.state, last_sequence=self.state.last_sequence + 1)
        return PubAck(COMMANDS.name, self.state.last_sequence, False)

    async def publish_many(self, messages: list[Message]) -> list[PubAck]:
        return [await self.publish(one.subject, one.payload, one.message_id) for one in messages]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ScriptedBroker:
    server = ScriptedBroker()
    monkeypatch.setattr(module, "Streams", lambda _: server)
    monkeypatch.setattr(module, "Publisher", lambda _: server)
    return server


@pytest.fixture
def broker(server: ScriptedBroker) -> JetStreamBroker:
    return JetStreamBroker(cast(Bus, None))


def events(logs: list[Any]) -> list[str]:
    return [line["event"] for line in logs]


async def test_stream_restored_from_an_older_copy_is_reported_once(
    server: ScriptedBroker, broker: JetStreamBroker
) -> None:
    await broker.ensure()
    older = server.state
    await broker.publish([Dispatch("acme", 0, 1, uuid4(), uuid4(), 1)])
    server.state = older
    with capture_logs() as logs:
        for _ in range(2):
            assert await broker.ensure() == "epoch 1"
    assert [(line["event"], line["last"], line["highest"]) for line in logs] == [("stream_rolled_back", 1, 2)]


async def test_probe_that_another_replica_has_trimmed_was_stored(
    server: ScriptedBroker, broker: JetStreamBroker
) -> None:
    server.is_trimmed = True
    await broker.ensure()
    assert broker.stores


async def test_stream_that_stores_again_is_kept(server: ScriptedBroker, broker: JetStreamBroker) -> None:
    await broker.ensure()
    server.errors = {"publish": REFUSED}
    with pytest.raises(BrokerAwayError, match="stores nothing"):
        await broker.ensure()
    stored = broker.stores
    server.errors = {}
    with capture_logs() as logs:
        await broker.ensure()
    assert (stored, broker.stores) == (False, True)
    assert events(logs) == ["stream_stores_again"]
    assert server.deleted == 0


async def test_first_rejected_request_is_reported_and_an_unanswered_one_forgotten(
    server: ScriptedBroker, broker: JetStreamBroker
) -> None:
    """A stream is replaced for what the broker rejects, never because the broker does not answer."""
    await broker.ensure()
    stores = []
    with capture_logs() as logs:
        for error in (REFUSED, REFUSED, AWAY):
            server.errors = {"list_consumers": error}
            with pytest.raises(BrokerAwayError):
                await broker.trim()
            stores.append(broker.stores)
    assert stores == [False, False, True]
    assert events(logs) == ["stream_rejects_writes"]


async def test_broken_stream_that_is_already_gone_is_only_recreated(
    server: ScriptedBroker, broker: JetStreamBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.ensure()
    server.errors = {"publish": REFUSED}
    with pytest.raises(BrokerAwayError):
        await broker.ensure()
    monkeypatch.setattr(module, "_BROKEN_SECONDS", -1.0)
    server.errors = {}
    server.state = replace(server.state, epoch="epoch 2")
    missing: list[BusError] = [StreamMissingError(COMMANDS.name)]
    state = server.stream_state

    async def missing_at_first(stream: str) -> StreamState:
        if missing:
            raise missing.pop()
        return await state(stream)

    monkeypatch.setattr(server, "stream_state", missing_at_first)
    assert await broker.ensure() == "epoch 2"
    assert (server.deleted, broker.stores) == (0, True)


async def test_position_of_a_missing_consumer_is_none_and_of_a_silent_broker_unknown(
    server: ScriptedBroker, broker: JetStreamBroker
) -> None:
    for missing in (ConsumerMissingError("runner"), StreamMissingError(COMMANDS.name)):
        server.errors = {"consumer_state": missing}
        assert await broker.position(uuid4(), 1) is None
    server.errors = {"consumer_state": AWAY}
    with pytest.raises(BrokerAwayError, match="no reply"):
        await broker.position(uuid4(), 1)
