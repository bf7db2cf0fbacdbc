"""The service asks the broker whether it syncs before it acknowledges."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from libs.embedded import free_port
from libs.embedded.nats_server import _program
from services.command.dispatch.durability import check_writes_through
from tests.support.eventually import eventually
from tests.support.suite import listens

UNSYNCED = "broker_acknowledges_before_it_syncs"


@contextlib.asynccontextmanager
async def monitored(folder: Path, sync: str) -> AsyncIterator[str]:
    """Runs a nats-server with this sync_interval, and yields the URL of its monitoring port."""
    port = free_port()
    configuration = folder / "nats.conf"
    configuration.write_text(
        f'listen: "127.0.0.1:{free_port(but_not=frozenset({port}))}"\nhttp: "127.0.0.1:{port}"\n'
        f'jetstream {{ store_dir: "{folder}/store", sync_interval: {sync} }}\n'
    )
    process = await asyncio.create_subprocess_exec(_program(), "--config", configuration)
    try:
        await eventually(lambda: listens(port))
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        await process.wait()


async def test_broker_that_syncs_before_it_acknowledges_is_logged(tmp_path: Path) -> None:
    async with monitored(tmp_path, "always") as url:
        with capture_logs() as logs:
            assert await check_writes_through(url) is True
    assert [(line["event"], line["log_level"]) for line in logs] == [("broker_writes_through", "info")]


async def test_broker_that_acknowledges_before_it_syncs_is_logged_as_an_error(tmp_path: Path) -> None:
    async with monitored(tmp_path, '"2m"') as url:
        with capture_logs() as logs:
            assert await check_writes_through(url) is False
    assert [(line["event"], line["log_level"]) for line in logs] == [(UNSYNCED, "error")]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "no url"])
async def test_unreadable_monitoring_port_is_logged_as_a_warning(url: str) -> None:
    with capture_logs() as logs:
        assert await check_writes_through(url) is None
    assert [line["event"] for line in logs] == ["broker_durability_unknown"]
