"""Runs nats-server from the virtual environment. Its store survives between runs."""

import asyncio
import json
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.embedded.child import ChildSpec
from libs.embedded.errors import EngineError
from libs.embedded.locks import FileLock
from libs.embedded.ports import free_port
from libs.private_files import (
    kept_secret,
    make_folder,
    write_private,
)

_USER = "callboard"
# sync_interval: every acknowledged message is on disk. Without it, power cuts lost whole streams.
_CONFIGURATION = """\
# Written at each start; changes are lost.
server_name: "callboard"
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "store", sync_interval: always }}
authorization {{ user: "{user}", password: "{password}", timeout: 5 }}
ping_interval: "10s"
ping_max: 2
"""


class NatsServer:
    """nats-server with JetStream on a free loopback port, protected by a password.

    Enter it to lock its store, call `prepare()`, then let a supervisor run its `spec`. It keeps its files in
    `<home>/nats`.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "nats"

    def __enter__(self) -> Self:
        """Lock the store; raises EngineError, for example if another process uses it."""
        make_folder(self._folder, 0o700)
        self._program = _program()
        self._lock = FileLock(self._folder / "lock", f"the store in {self._folder}").__enter__()
        self._port = free_port()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    @property
    def store(self) -> Path:
        """The folder with the streams of JetStream. It may be deleted while the server is down."""
        return self._folder / "store"

    @property
    def url(self) -> str:
        """The URL for services."""
        return f"nats://{_USER}:{self._password}@127.0.0.1:{self._port}"

    @property
    def spec(self) -> ChildSpec:
        """The process for a supervisor to run."""
        return ChildSpec(
            name="nats",
            argv=[str(self._program), "--config", str(self._configuration)],
            environment={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
            cwd=self._folder,  # a relative path to the store: nats-server misreads some characters of absolute ones
            ready=partial(responds, "127.0.0.1", self._port),
            stop_steps=((signal.SIGTERM, 10.0),),
            death_signal=signal.SIGTERM,
        )

    def prepare(self) -> None:
        """Write the configuration."""
        text = _CONFIGURATION.format(port=self._port, user=_USER, password=self._password)
        write_private(self._configuration, text)

    @property
    def _configuration(self) -> Path:
        return self._folder / "nats.conf"

    @property
    def _password(self) -> str:
        return kept_secret(self._folder / "password")


async def responds(host: str, port: int) -> bool:
    """Return whether a NATS server with JetStream answers there. It needs no password."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        kind, _, text = (await reader.readline()).partition(b" ")
        return kind == b"INFO" and bool(json.loads(text).get("jetstream"))
    except (OSError, ValueError):
        return False
    finally:
        writer.close()


def _program() -> Path:
    """Find nats-server next to the interpreter, where its wheel installs it, or on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = shutil.which("nats-server", path=os.pathsep.join([str(beside.parent), os.environ.get("PATH", "")]))
    if found is None:
        raise EngineError("nats-server is not installed: run `make setup`, or set NATS_URL")
    return Path(found)
