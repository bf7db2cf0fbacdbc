"""`callboard up` as a process, with real engines and a stub for each service."""

import asyncio
import json
import os
import signal
import socket
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from libs.embedded.leftovers import process_started
from services.cli.home import SOURCE_ROOT
from tests.support.engines import TestNats, reachable_home
from tests.support.eventually import eventually

pytestmark = pytest.mark.slow(20)
_OURS = {"DATABASE_URL", "NATS_URL"}
_PARTS = ["postgres", "nats", "session", "command", "runner-1", "gateway"]


@pytest.fixture
def home() -> Iterator[Path]:
    with reachable_home() as home:
        yield home / "made" / "by-up"


class Up:
    """A running `up`."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self.process = process
        self.home = home
        self.output = b""

    @property
    def endpoints(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "endpoints.json").read_text()))

    async def until_up(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while b"Ctrl-C stops it" not in self.output:
                line = await self.process.stdout.readline()
                assert line, self.output.decode()
                self.output += line

    async def ended(self) -> int:
        async with asyncio.timeout(60):
            rest, _ = await self.process.communicate()
        self.output += rest
        return self.process.returncode or 0


@asynccontextmanager
async def started(home: Path, **variables: str) -> AsyncIterator[Up]:
    """Starts `up` on the home; kills it if the test leaves it running."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS and not name.startswith("CALLBOARD")}
    ports = {f"CALLBOARD_{name}_PORT": "0" for name in ("HTTP", "SESSION", "COMMAND")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.stub_suite"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=SOURCE_ROOT,
        env={**kept, **ports, "CALLBOARD_HOME": str(home), **variables},
    )
    try:
        yield Up(process, home)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def callboard(home: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Runs the real command line and returns its exit code and output."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=SOURCE_ROOT,
        env={**kept, "CALLBOARD_HOME": str(home), **variables},
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_first_up_keeps_foreign_files_in_its_home(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "notes.txt").write_text("mine")
    (home / "servers.toml").write_text("# mine\n")
    async with started(home) as up:
        await up.until_up()
        assert list(up.endpoints["pids"]) == ["up", *_PARTS]
        assert _mode(home / "dev-key") == _mode(home / "endpoints.json") == _mode(home / "admin-url") == 0o600
        assert up.endpoints["http"].encode() in up.output
        up.process.send_signal(signal.SIGINT)
        pids = up.endpoints["pids"]
        assert await up.ended() == 0, up.output.decode()
    assert not [name for name, pid in pids.items() if process_started(pid)]
    assert (home / "notes.txt").read_text() == "mine"
    assert (home / "servers.toml").read_text() == "# mine\n"
    assert not (home / "endpoints.json").exists()
    assert not (home / "admin-url").exists()


async def test_second_up_on_one_home_is_rejected_and_keys_can_be_managed(home: Path) -> None:
    async with started(home) as up:
        await up.until_up()
        code, text = await callboard(home, "up")
        assert (code, f"already in use by process {up.process.pid}" in text) == (1, True), text

        code, text = await callboard(home, "keys", "create", "--tenant", "acme", "--role", "viewer", "--name", "ci")
        assert code == 0, text
        key_id = text.split("_")[1]
        code, text = await callboard(home, "keys", "list")
        assert code == 0
        assert f"{key_id}  acme     viewer    valid" in text.replace("viewer  valid", "viewer    valid")
        assert (await callboard(home, "keys", "revoke", key_id))[0] == 0
        assert "revoked" in (await callboard(home, "keys", "list"))[1]
        for refused in (["--tenant", "A b", "--role", "viewer"], ["--tenant", "acme", "--role", "owner"]):
            assert (await callboard(home, "keys", "create", *refused))[0] == 1
        up.process.send_signal(signal.SIGTERM)
        assert await up.ended() == 0
    code, text = await callboard(home, "keys", "list")
    assert (code, "no database" in text) == (1, True)


async def test_state_is_kept_and_a_newer_database_is_rejected(home: Path) -> None:
    async with started(home) as up:
        await up.until_up()
        first_key = (home / "dev-key").read_text()
        server_registry = tomllib.loads((home / "servers.toml").read_text())
        assert server_registry["servers"]["time"]["command"] == sys.executable
        up.process.send_signal(signal.SIGTERM)
        assert await up.ended() == 0
    async with started(home) as up:
        await up.until_up()
        assert (home / "dev-key").read_text() == first_key
        with psycopg.connect((home / "admin-url").read_text()) as connection:
            [keys] = connection.execute("select count(*) from identity.api_keys").fetchall()
            assert keys == (1,)
            connection.execute("insert into callboard.migrations values ('9999_future', '')")
        up.process.send_signal(signal.SIGTERM)
        assert await up.ended() == 0
    async with started(home) as up:
        assert await up.ended() == 3
        assert b"migration 9999_future" in up.output


async def test_crashed_process_is_restarted_and_reported(home: Path) -> None:
    async with started(home) as up:
        await up.until_up()
        before = up.endpoints["pids"]
        os.kill(before["gateway"], signal.SIGKILL)
        await eventually(lambda: up.endpoints["pids"]["gateway"] != before["gateway"], timeout=20)
        up.process.send_signal(signal.SIGTERM)
        assert await up.ended() == 0
        assert b"gateway ended with -9; starting it again" in up.output


async def test_process_that_cannot_start_stops_all_with_its_last_output(home: Path) -> None:
    async with started(home, CALLBOARD_TEST_CRASH="runner-1") as up:
        assert await up.ended() == 1
        assert b"runner-1 | the last word" in up.output
        assert b"runner-1 ended with 9 before it was ready" in up.output
    assert not list((home / "run").iterdir()), "every part was stopped and forgotten"


async def test_killed_up_leaves_no_process_and_can_be_started_again(home: Path) -> None:
    async with started(home) as up:
        await up.until_up()
        pids = up.endpoints["pids"]
        up.process.kill()
        await up.ended()
        await eventually(lambda: not [name for name, pid in pids.items() if process_started(pid)])
    async with started(home) as up:
        await up.until_up()
        up.process.send_signal(signal.SIGHUP)
        assert await up.ended() == 0


async def test_stop_during_the_start_is_orderly(home: Path) -> None:
    async with started(home) as up:
        await eventually((home / "run" / "postgres.json").exists, timeout=30)
        up.process.send_signal(signal.SIGINT)
        assert await up.ended() == 0, up.output.decode()
    assert not list((home / "run").iterdir())


async def test_port_in_use_is_rejected_before_anything_starts(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        async with started(home, CALLBOARD_SESSION_PORT=taken) as up:
            assert await up.ended() == 2
    assert f"CALLBOARD_SESSION_PORT: port {taken} is taken" in up.output.decode()
    assert not (home / "postgres").exists()


async def test_external_engines_are_used(home: Path, database_url: str, nats_server: TestNats) -> None:
    async with started(home, DATABASE_URL=database_url, NATS_URL=nats_server.url) as up:
        await up.until_up()
        assert set(up.endpoints["pids"]) == {"up", *_PARTS} - {"postgres", "nats"}
        up.process.send_signal(signal.SIGTERM)
        assert await up.ended() == 0
    assert not (home / "postgres").exists()
    assert not (home / "nats").exists()


@pytest.mark.parametrize(
    ("variable", "url"),
    [("DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/d"), ("NATS_URL", "nats://u:secret@127.0.0.1:1")],
)
async def test_external_engine_that_does_not_answer_is_named(
    home: Path, database_url: str, variable: str, url: str
) -> None:
    async with started(home, **{"DATABASE_URL": database_url, variable: url}) as up:
        assert await up.ended() == 2
    assert f"callboard: {variable}: " in up.output.decode()
    assert b"secret" not in up.output
