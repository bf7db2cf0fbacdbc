"""The launcher of the embedded nats-server."""

import os
import shutil
import signal
import stat
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from libs.embedded import (
    AlreadyRunningError,
    NatsServer,
    Supervisor,
)
from tests.support.engines import TestNats, running_nats
from tests.support.eventually import eventually


async def test_acknowledged_messages_survive_a_restart(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as first:
        client = await nats.connect(first.url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"7")
        await client.close()
    async with running_nats(tmp_path) as second:
        client = await nats.connect(second.url)
        assert (await client.jetstream().get_last_msg("KEPT", "kept")).data == b"7"
        await client.close()


async def test_killed_server_is_restarted_with_its_acknowledged_messages(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        server.prepare()
        async with Supervisor(tmp_path, tmp_path) as supervisor:
            await supervisor.start(server.spec)
            client = await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
            await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
            await client.jetstream().publish("kept", b"7")
            killed = supervisor.pids["nats"]
            os.kill(killed, signal.SIGKILL)

            async def kept() -> bool:
                assert supervisor.pids["nats"] != killed
                try:
                    return (await client.jetstream().get_last_msg("KEPT", "kept")).data == b"7"
                except nats.errors.Error:
                    return False

            await eventually(kept)
            await client.close()


async def test_server_starts_after_its_store_was_deleted(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as first:
        store = first.store
    shutil.rmtree(store)
    async with running_nats(tmp_path) as second:
        client = await nats.connect(second.url)
        assert (await client.jetstream().account_info()).streams == 0
        await client.close()


async def test_server_syncs_always_and_keeps_its_password_private(tmp_path: Path, nats_server: TestNats) -> None:
    configuration = tmp_path / "nats" / "nats.conf"
    assert "sync_interval: always" in configuration.read_text()
    assert 'listen: "127.0.0.1:' in configuration.read_text()
    for path in (configuration, configuration.with_name("password")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert nats_server.store.is_dir()


async def test_login_without_the_password_is_rejected(nats_server: TestNats) -> None:
    address = nats_server.url.rpartition("@")[2]
    for intruder in (f"nats://{address}", f"nats://callboard:wrong@{address}"):
        client = Client()
        with pytest.raises(nats.errors.Error, match="Authorization"):
            await client.connect(intruder, allow_reconnect=False, error_cb=_expected)
        await client.close()


async def _expected(_error: Exception) -> None:
    """The server's rejection is reported to this callback and also raised."""


async def test_second_server_on_one_store_is_rejected(tmp_path: Path, nats_server: TestNats) -> None:
    assert nats_server.url
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
        NatsServer(tmp_path).__enter__()


async def test_server_runs_in_a_path_with_special_characters(tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" \\c ü {d} $e'
    odd.mkdir()
    async with running_nats(odd) as server:
        assert server.store.is_dir()
