"""Runs Postgres from the virtual environment. Its data survives between runs."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.embedded.child import ChildSpec, shim_command
from libs.embedded.data_dir import (
    STATE_FOLDERS,
    data_for,
    programs_for,
)
from libs.embedded.errors import EngineError
from libs.embedded.leftovers import end_process, process_started
from libs.embedded.locks import FileLock
from libs.embedded.ports import free_port
from libs.embedded.postgres_roles import (
    APP_ROLE,
    DATABASE,
    SUPERUSER,
    answers,
    ensure_app_role,
    ensure_database,
)
from libs.embedded.system_user import SystemUser
from libs.private_files import kept_secret, make_folder

_INITDB_SECONDS = 120.0
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # not needed, and a path over 107 bytes makes the start fail
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",  # costs more than it saves on statements of milliseconds
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # a statement may contain a caller's data
    "logging_collector": "off",
}


@dataclass(frozen=True)
class _Secrets:
    superuser: str
    app: str


class PostgresServer:
    """Postgres on a free loopback port, with SCRAM authentication only. If we are root, it runs as `nobody`.

    Enter it to lock its data, call `prepare()`, let a supervisor run its `spec`, then call `provision()`. The two
    methods block. `settings` override ours. It keeps its files in `<home>/postgres`.
    """

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, str] | None = None,
        state_folders: Sequence[Path] = STATE_FOLDERS,
    ) -> None:
        self._folder = home / "postgres"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._state_folders = state_folders
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Find the programs and lock the data; raises EngineError, for example if another process uses it."""
        self._run_as = SystemUser.unprivileged()
        # if `nobody` owns the data, it must be able to traverse this folder; the secrets in it have mode 0600
        make_folder(self._folder, 0o711 if self._run_as else 0o700)
        self._programs = programs_for(self._run_as, self._state_folders)
        self._data_folder = data_for(self._run_as, self._folder, self._state_folders)
        self._exits.enter_context(FileLock(self._data_folder / "lock", f"the database in {self._data_folder}"))
        self._port = free_port()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._data_folder / "data"

    @property
    def admin_url(self) -> str:
        """The URL of the superuser, for migrations, keys and tests."""
        return self._url(SUPERUSER, self._secrets.superuser)

    @property
    def app_url(self) -> str:
        """The URL for services. Its role owns nothing."""
        return self._url(APP_ROLE, self._secrets.app)

    @property
    def spec(self) -> ChildSpec:
        """The process for a supervisor to run."""
        settings = [f"--{name}={value}" for name, value in {**self._settings, "port": str(self._port)}.items()]
        return ChildSpec(
            name="postgres",
            argv=[str(self._programs / "postgres"), "-D", str(self.data), *settings],
            environment=_ENVIRONMENT,
            run_as=self._run_as,
            before_start=self._clear_stale_pid_file,
            ready=partial(answers, self._url(SUPERUSER, self._secrets.superuser, "postgres")),
            ready_seconds=60.0,  # includes crash recovery
            # SIGINT disconnects clients. SIGQUIT skips the checkpoint, so the next start has to recover.
            stop_steps=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)),
            death_signal=signal.SIGINT,
        )

    def prepare(self) -> None:
        """Create the data directory unless it exists.

        Raises EngineError if initdb fails, with its output, or if the existing directory is not usable.
        """
        if self.data.exists():
            self._check_data()
        else:
            self._initialise()

    def provision(self) -> None:
        """Create the database and the services' login role if they are missing. The server must be running."""
        ensure_database(self._url(SUPERUSER, self._secrets.superuser, "postgres"))
        ensure_app_role(self.admin_url, self._secrets.app)

    @property
    def _secrets(self) -> _Secrets:
        return _Secrets(kept_secret(self._folder / "superuser-password"), kept_secret(self._folder / "app-password"))

    def _url(self, role: str, password: str, database: str = DATABASE) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{self._port}/{database}"

    def _check_data(self) -> None:
        password = self._folder / "superuser-password"
        if not password.exists():
            raise EngineError(f"there is a database in {self.data}, but its password {password} is gone")
        owner, runs_as = self.data.stat().st_uid, self._run_as.user_id if self._run_as else os.geteuid()
        if owner != runs_as:
            raise EngineError(f"user {owner} owns the database in {self.data}, but it would run as user {runs_as}")
        if self._run_as and not self._run_as.reaches(self.data):
            raise EngineError(f"user {runs_as}, whom Postgres runs as, cannot reach {self.data}: move the home back")

    def _initialise(self) -> None:
        """Run initdb in another folder and rename it, so that an incomplete directory is never used."""
        temporary, password_file = self._data_folder / "data.part", self._data_folder / "initdb-password"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        try:
            password_file.write_text(self._secrets.superuser, encoding="ascii")
            if self._run_as:
                for path in (temporary, password_file):
                    os.chown(path, self._run_as.user_id, self._run_as.group_id)
            self._run_initdb(temporary, password_file)
        finally:
            password_file.unlink()
        temporary.rename(self.data)

    def _run_initdb(self, temporary: Path, password_file: Path) -> None:
        command = [
            str(self._programs / "initdb"),
            "-D",
            str(temporary),
            "-U",
            SUPERUSER,
            f"--pwfile={password_file}",
        ]
        command += [
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
        ]
        if self._settings["fsync"] == "off":
            command.append("--no-sync")
        done = subprocess.run(
            shim_command(command, self._run_as, signal.SIGKILL),
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            timeout=_INITDB_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise EngineError(f"initdb failed:\n{done.stdout.decode('utf-8', 'replace').strip()}")

    def _clear_stale_pid_file(self) -> None:
        """End a server that still uses our data, and delete a pid file that names another process.

        We hold the lock of the data, so a server that uses it is a leftover. With a stale file, Postgres does not
        start if another process of the same user has the pid by now.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="ascii").partition("\n")[0])
        except (FileNotFoundError, ValueError):
            pid_file.unlink(missing_ok=True)
            return
        started = process_started(pid)
        if started and _serves(pid, self.data):
            end_process(pid, started, signal.SIGINT)
        pid_file.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    shown = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return f"-D {data} ".encode() in shown.stdout
