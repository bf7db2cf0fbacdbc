"""The internals of nats-py that the bus uses still exist and behave as expected."""

import asyncio
import contextlib
import inspect

import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from libs.bus.backoff import LONGEST_SECONDS, backoff_seconds
from libs.bus.client import NatsConnection
from libs.bus.connection import Bus


async def test_attributes_of_nats_py_that_the_bus_uses_exist() -> None:
    client = Client()
    used = (
        "_handlers _unsent _unsent_size _loop",  # added by the bus: nats-py must not have them
        "_status _reading_task _ping_interval_task _flusher_task _transport _pongs _sid _max_payload _ps",
    )
    assert not [name for name in used[0].split() if hasattr(client, name)]
    assert [name for name in used[1].split() if not hasattr(client, name)] == []
    assert "self._io_writer = " in inspect.getsource(TcpTransport)


def test_reader_feeds_the_parser_and_answers_pings_and_pongs() -> None:
    assert "await self._ps.parse(" in inspect.getsource(Client._read_loop)
    assert "self._pongs.pop(0)" in inspect.getsource(Client._process_pong)
    source = inspect.getsource(Parser.parse)
    assert all(call in source for call in ("_process_ping()", "_process_pong()", "_process_info(", "_process_err("))


async def test_connection_that_was_never_opened_can_be_abandoned() -> None:
    connection = NatsConnection()
    assert not connection.alive
    assert not connection.publish_frame(b"a", b"b")
    assert not await connection.synchronise(1)
    await connection.abandon()


def test_backoff_grows_and_is_bounded() -> None:
    assert all(0 <= backoff_seconds(0) <= 0.1 for _ in range(100))
    assert max(backoff_seconds(8) for _ in range(200)) > 1
    assert all(backoff_seconds(10_000) <= LONGEST_SECONDS for _ in range(100))


@pytest.mark.parametrize("error", [None, OSError("no broker")])
async def test_bus_closes_although_its_connect_lost_a_cancellation(
    monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    """As `wait_for` of Python 3.11 does when it is cancelled at the moment of its result."""
    began = asyncio.Event()

    async def open_(self: NatsConnection, servers: list[str], name: str) -> None:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        self._reading_task = asyncio.create_task(asyncio.Event().wait())
        if error is not None:
            raise error

    monkeypatch.setattr(NatsConnection, "open", open_)
    bus = Bus("nats://127.0.0.1:1", "test")
    await began.wait()
    await asyncio.wait_for(bus.close(), 5)
    assert bus.task.done()
