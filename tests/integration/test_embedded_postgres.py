"""The launcher of the embedded Postgres: starts, restarts, crashes, and where root puts the data."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from libs.embedded import (
    AlreadyRunningError,
    EngineError,
    PostgresServer,
    Supervisor,
    postgres_server,
)
from libs.embedded.data_dir import programs_for
from libs.embedded.system_user import SystemUser
from tests.support.engines import FAST, TestPostgres, reachable_home, running_postgres
from tests.support.eventually import eventually

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's Postgres runs as somebody else")


@pytest.fixture
def home() -> Iterator[Path]:
    with reachable_home() as home:
        yield home


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """A folder of root's that `nobody` can reach, instead of /var/lib/callboard."""
    folder = Path(tempfile.mkdtemp(prefix="callboard-state-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _query(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def _write(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def test_committed_rows_survive_a_restart(home: Path) -> None:
    async with running_postgres(home) as first:
        _write(first.admin_url, "create table kept (n int)", "insert into kept values (7)")
    async with running_postgres(home) as second:
        assert _query(second.admin_url, "select n from kept") == 7
        assert _query(second.app_url, "select current_user::text") == "callboard_app"


async def test_server_is_durable_and_listens_only_on_loopback(home: Path) -> None:
    async with running_postgres(home) as server:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
        }.items():
            assert _query(server.admin_url, f"show {name}") == value
        assert int(str(_query(server.admin_url, "show server_version_num"))) >= 180_000
        _write(server.admin_url, "create extension vector")


async def test_login_without_the_password_is_rejected(home: Path) -> None:
    async with running_postgres(home, FAST) as server:
        user, _, address = server.admin_url.rpartition("@")
        for intruder in (f"postgresql://postgres@{address}", f"{user[:-1]}x@{address}"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(intruder)
        verifier = "select left(rolpassword, 13) from pg_authid where rolname = 'callboard_app'"
        assert _query(server.admin_url, verifier) == "SCRAM-SHA-256"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _write(server.app_url, "create table public.mine ()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _write(server.app_url, "create schema mine")


async def test_only_the_owner_can_read_secrets(home: Path) -> None:
    async with running_postgres(home, FAST):
        for name in ("superuser-password", "app-password", "lock"):
            assert stat.S_IMODE((home / "postgres" / name).stat().st_mode) == 0o600
        assert not (home / "postgres" / "initdb-password").exists()
        assert stat.S_IMODE((home / "postgres" / "data").stat().st_mode) == 0o700


async def test_killed_server_is_restarted_with_its_committed_rows(home: Path) -> None:
    with PostgresServer(home) as server:
        server.prepare()
        async with Supervisor(home, home) as supervisor:
            await supervisor.start(server.spec)
            await asyncio.to_thread(server.provision)
            _write(server.admin_url, "create table kept (n int)", "insert into kept values (7)")
            killed = supervisor.pids["postgres"]
            os.kill(killed, signal.SIGKILL)
            await eventually(lambda: supervisor.pids["postgres"] != killed, timeout=20)

            async def answers() -> bool:
                return await server.spec.ready()

            await eventually(answers, timeout=30)
            assert _query(server.admin_url, "select n from kept") == 7


async def test_server_starts_although_its_pid_file_names_another_process(home: Path) -> None:
    async with running_postgres(home, FAST):
        """Creates the data."""
    stale = home / "postgres" / "data" / "postmaster.pid"
    # the parent's pid is alive; after a reboot, a dead server's pid can belong to another process
    stale.write_text(f"{os.getppid()}\n{home}/postgres/data\n1700000000\n5432\n\n127.0.0.1\n  1 2\nready   \n")
    async with running_postgres(home, FAST) as server:
        assert _query(server.admin_url, "select 1") == 1


def test_server_that_a_killed_run_left_is_ended_before_the_next_starts(home: Path) -> None:
    with PostgresServer(home) as server:
        server.data.mkdir()
        program = "import signal; print(flush=True); signal.pause()"
        command = [sys.executable, "-c", program, "-D", str(server.data), "--port=1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as leftover:
            assert leftover.stdout is not None
            leftover.stdout.readline()
            (server.data / "postmaster.pid").write_text(f"{leftover.pid}\n")
            try:
                server.spec.before_start()
                assert leftover.poll() == -signal.SIGINT
            finally:
                leftover.kill()
        assert not (server.data / "postmaster.pid").exists()


def test_failed_initdb_is_reported_with_its_output(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = home / "programs"
    programs.mkdir(mode=0o755)
    (programs / "initdb").write_text("#!/bin/sh\necho 'no space left'; exit 1\n")
    (programs / "initdb").chmod(0o755)
    monkeypatch.setattr(postgres_server, "programs_for", lambda *_: programs)
    with PostgresServer(home) as server:
        with pytest.raises(EngineError, match=r"^initdb failed:\nno space left$"):
            server.prepare()
        assert not server.data.exists()


async def test_interrupted_initdb_is_repeated(home: Path) -> None:
    (home / "postgres" / "data.part").mkdir(parents=True)
    (home / "postgres" / "data.part" / "PG_VERSION").write_text("18\n")
    (home / "postgres").chmod(0o711)
    async with running_postgres(home, FAST) as server:
        assert _query(server.admin_url, "select 1") == 1


async def test_second_server_on_one_home_is_rejected(home: Path) -> None:
    with PostgresServer(home), pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
        PostgresServer(home).__enter__()


async def test_data_without_its_password_file_is_rejected(home: Path) -> None:
    async with running_postgres(home, FAST):
        """Creates the data."""
    (home / "postgres" / "superuser-password").unlink()
    with PostgresServer(home) as server, pytest.raises(EngineError, match="superuser-password is gone"):
        server.prepare()


async def test_server_runs_in_a_path_longer_than_a_socket_name(home: Path) -> None:
    deep = home / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    async with running_postgres(deep, FAST) as server:
        assert _query(server.admin_url, "select 1") == 1


@only_root
async def test_root_runs_the_server_as_nobody(home: Path) -> None:
    async with running_postgres(home, FAST):
        owner = (home / "postgres" / "data" / "postmaster.pid").stat().st_uid
        run_as = SystemUser.unprivileged()
        assert run_as is not None
        assert owner == run_as.user_id != 0


@only_root
async def test_data_of_an_unreachable_home_is_kept_elsewhere_and_found_again(home: Path, state_folder: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)

    async def run(statements: list[str], question: str) -> object:
        with PostgresServer(closed, FAST, state_folders=[state_folder]) as server:
            server.prepare()
            async with Supervisor(closed, closed) as supervisor:
                await supervisor.start(server.spec)
                await asyncio.to_thread(server.provision)
                _write(server.admin_url, *statements)
                return _query(server.admin_url, question)

    assert await run(["create table kept as select 7 as n"], "select n from kept") == 7
    note = (closed / "postgres" / "data-location.txt").read_text()
    folder = Path(note.splitlines()[0])
    assert folder.parent == state_folder
    assert (folder / "data" / "PG_VERSION").exists()
    assert str(closed) in (folder / "home.txt").read_text()
    assert await run([], "select n from kept") == 7
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "the folder's mode stays"

    shutil.rmtree(folder)
    with pytest.raises(EngineError, match="no such folder"):
        PostgresServer(closed, FAST, state_folders=[state_folder]).__enter__()


@only_root
async def test_unreachable_data_and_data_of_another_user_are_rejected(home: Path) -> None:
    (home / "made").mkdir(mode=0o711)
    async with running_postgres(home / "made", FAST):
        """Creates the data."""
    home.chmod(0o700)
    with PostgresServer(home / "made") as server, pytest.raises(EngineError, match="cannot reach"):
        server.prepare()
    home.chmod(0o711)
    os.chown(home / "made" / "postgres" / "data", 12345, 12345)
    with PostgresServer(home / "made") as server, pytest.raises(EngineError, match="user 12345 owns"):
        server.prepare()


@only_root
async def test_folder_that_others_can_write_to_is_not_used(home: Path, state_folder: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    state_folder.chmod(0o777)
    with pytest.raises(EngineError, match="found no place"):
        PostgresServer(closed, FAST, state_folders=[state_folder]).__enter__()


@only_root
def test_unreachable_programs_are_copied_once(state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = SystemUser.unprivileged()
    assert nobody is not None
    installed = programs_for(None)
    reaches = SystemUser.reaches
    # as if the virtual environment were in a folder that others cannot enter
    monkeypatch.setattr(
        SystemUser, "reaches", lambda self, path: state_folder in (path, *path.parents) and reaches(self, path)
    )
    copy = programs_for(nobody, [state_folder])
    assert state_folder in copy.parents
    assert (copy / "postgres").read_bytes() == (installed / "postgres").read_bytes()
    made = (copy / "postgres").stat().st_mtime_ns, (copy / "postgres").stat().st_ino
    assert programs_for(nobody, [state_folder]) == copy
    assert ((copy / "postgres").stat().st_mtime_ns, (copy / "postgres").stat().st_ino) == made


def test_shared_server_accepts_both_logins(postgres: TestPostgres) -> None:
    assert _query(postgres.admin_url, "select current_user::text") == "postgres"
    assert _query(postgres.app_url, "select current_user::text") == "callboard_app"
