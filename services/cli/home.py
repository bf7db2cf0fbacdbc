"""The home: the folder in which an installation keeps its state. It may hold other files too."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from libs.private_files import (
    create_private,
    make_folder,
    write_private,
)
from services.cli.errors import CliError

_SERVERS = """\
# The servers that agents of this installation may use. A tenant names an entry. Only the operator decides what
# it runs.

[servers.time]
transport = "stdio"
command = {python}
args = ["-m", "mcp_server_time", "--local-timezone=UTC"]
"""
_TRIAL_SERVER = """
# A server for trials: echo, count, sleep, flaky, fail, crash, big, note and notes.
[servers.trial]
transport = "stdio"
command = {python}
args = [{script}]
"""
_DEFAULT_HOME = ".callboard"
SOURCE_ROOT = Path(__file__).resolve().parents[2]


def home_from(environment: Mapping[str, str]) -> Path:
    """Return the home, as an absolute path."""
    return Path(environment.get("CALLBOARD_HOME") or _DEFAULT_HOME).expanduser().absolute()


class Home:
    """The paths in the home, and the files that `up` writes there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "up.lock"
        self.logs = path / "logs"
        self.run = path / "run"
        self.dev_key = path / "dev-key"
        self.servers = path / "servers.toml"
        self._endpoints = path / "endpoints.json"
        self._admin_url = path / "admin-url"

    def make(self) -> None:
        """Create the folders that are missing; raises CliError when that fails."""
        try:
            # under root, Postgres runs as `nobody`, which must be able to traverse this folder and nothing else
            make_folder(self.path, 0o711 if os.geteuid() == 0 else 0o700)
            make_folder(self.logs, 0o700)
            make_folder(self.run, 0o700)
        except OSError as error:
            raise CliError(f"CALLBOARD_HOME: cannot create {error.filename}: {error.strerror}") from error

    def write_servers(self) -> None:
        """Write the server registry unless it exists."""
        python = json.dumps(sys.executable)  # not resolved: the virtual environment is in the path
        text = _SERVERS.format(python=python)
        trial = SOURCE_ROOT / "examples" / "trial_server" / "__main__.py"
        if trial.exists():
            text += _TRIAL_SERVER.format(python=python, script=json.dumps(str(trial)))
        create_private(self.servers, text)

    def write_endpoints(self, endpoints: Mapping[str, object]) -> None:
        """Write the addresses of all processes, for programs."""
        write_private(self._endpoints, json.dumps(endpoints, indent=2) + "\n")

    def endpoints(self) -> dict[str, object]:
        """Return what `write_endpoints` wrote; empty when no `up` runs here."""
        try:
            written = json.loads(self._endpoints.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return written if isinstance(written, dict) else {}

    def write_admin_url(self, url: str) -> None:
        """Write the database's URL, for `callboard keys` to use while `up` runs."""
        write_private(self._admin_url, url)

    def admin_url(self) -> str | None:
        """Return what `write_admin_url` wrote, or None when no `up` runs here."""
        try:
            return self._admin_url.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def clear(self) -> None:
        """Remove the files that are valid only while `up` runs."""
        self._endpoints.unlink(missing_ok=True)
        self._admin_url.unlink(missing_ok=True)
