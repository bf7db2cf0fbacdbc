"""A runtime closes what was opened on it, and ends with its tasks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from pydantic import SecretStr

from libs.embedded.ports import free_port
from libs.runtime.runtime import Runtime
from libs.runtime.settings import RuntimeSettings
from libs.telemetry import TaskDiedError
from tests.support.engines import TestNats
from tests.support.eventually import eventually


def settings_of(database_url: str, nats_url: str) -> RuntimeSettings:
    return RuntimeSettings.model_construct(
        database_url=SecretStr(database_url), nats_url=SecretStr(nats_url), metrics_port=free_port(),
        database_connections=2,
    )  # fmt: skip


def opened(settings: RuntimeSettings) -> AbstractAsyncContextManager[Runtime]:
    return Runtime.opened(settings, name="trial", role="callboard_session")


async def health(port: int) -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b"not listening"
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.split(b" ")[1]


async def test_resources_close_in_reverse_order_and_before_the_database(
    database_url: str, nats_server: TestNats
) -> None:
    closed: list[object] = []

    @asynccontextmanager
    async def resource(name: str) -> AsyncIterator[str]:
        yield name
        closed.append((name, await runtime.database.is_up()))

    async with opened(settings_of(database_url, nats_server.url)) as runtime:
        assert await runtime.open(resource("first")) == "first"
        runtime.on_close(lambda: closed.append("second"))
        await runtime.open(resource("third"))
    assert closed == [("third", True), "second", ("first", True)]
    assert not await runtime.database.is_up()


async def test_subscriber_wakes_at_each_notification(database_url: str, nats_server: TestNats) -> None:
    woken = asyncio.Event()
    async with opened(settings_of(database_url, nats_server.url)) as runtime:
        await runtime.subscribe("trial", woken.set)

        async def is_woken() -> bool:
            runtime.notifications.publish("trial", b"")
            return woken.is_set()

        await eventually(is_woken)


async def test_run_ends_when_it_is_stopped(database_url: str, nats_server: TestNats) -> None:
    settings, stop = settings_of(database_url, nats_server.url), asyncio.Event()
    async with opened(settings) as runtime:
        running = asyncio.create_task(runtime.run(stop))

        async def is_healthy() -> bool:
            return not running.done() and await health(settings.metrics_port) == b"200"

        await eventually(is_healthy)
        stop.set()
        await running


async def test_run_fails_and_health_ends_when_a_task_dies(database_url: str, nats_server: TestNats) -> None:
    async def dies() -> None:
        raise ValueError("on purpose")

    settings = settings_of(database_url, nats_server.url)
    async with opened(settings) as runtime:
        runtime.tasks.start("trial", dies())
        with pytest.raises(TaskDiedError):
            await runtime.run(asyncio.Event())
        assert await health(settings.metrics_port) == b"503"
