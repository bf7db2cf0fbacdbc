"""Our launcher of nats-server, on the real thing."""

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


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as first:
        client = await nats.connect(first.url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"7")
        await client.close()
    async with running_nats(tmp_path) as second:
        client = await nats.connect(second.url)
        assert (await client.jetstream().get_last_msg("KEPT", "kept")).data == b"7"
        await client.close()


async def test_a_killed_server_comes_back_with_what_was_acknowledged(tmp_path: Path) -> None:
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


async def test_a_deleted_store_does_not_stop_the_start(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as first:
        store = first.store
    shutil.rmtree(store)
    async with running_nats(tmp_path) as second:
        client = await nats.connect(second.url)
        assert (await client.jetstream().account_info()).streams == 0
        await client.close()


async def test_it_writes_through_and_keeps_its_password_private(tmp_path: Path, nats_server: TestNats) -> None:
    configuration = tmp_path / "nats" / "nats.conf"
    assert "sync_interval: always" in configuration.read_text()
    assert 'listen: "127.0.0.1:' in configuration.read_text()
    for path in (configuration, configuration.with_name("password")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert nats_server.store.is_dir()


async def test_nobody_gets_in_without_the_password(nats_server: TestNats) -> None:
    place = nats_server.url.rpartition("@")[2]
    for intruder in (f"nats://{place}", f"nats://callboard:wrong@{place}"):
        client = Client()
        with pytest.raises(nats.errors.Error, match="Authorization"):
            await client.connect(intruder, allow_reconnect=False, error_cb=_expected)
        await client.close()


async def _expected(_error: Exception) -> None:
    """The refusal comes as an exception too."""


async def test_two_servers_on_one_store_are_refused(tmp_path: Path, nats_server: TestNats) -> None:
    assert nats_server.url
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
        NatsServer(tmp_path).__enter__()


async def test_a_path_with_odd_characters_is_fine(tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" \\c ü {d} $e'
    odd.mkdir()
    async with running_nats(odd) as server:
        assert server.store.is_dir()
