"""The catalogue as a file that an operator edits while the suite runs."""

from pathlib import Path

import structlog

from libs.server_registry.errors import ServerRegistryError
from libs.server_registry.registry import ServerRegistry

_log = structlog.get_logger(__name__)

_Signature = tuple[int, int, int]


class ServerRegistryFile:
    """Re-reads the file when it changed, so that an entry added to a running system is seen at the next look.

    A file that an edit broke, or that vanished, keeps the last good catalogue and is logged once per change.
    """

    def __init__(self, path: Path) -> None:
        """Read `path` now; raises `ServerRegistryError`, since at the start there is no last good one."""
        self._path = path
        # The signature is taken before the content: a change in between is then read twice, never missed.
        self._signature = self._sign()
        self._server_registry = ServerRegistry.load(path)

    def current(self) -> ServerRegistry:
        """Return the catalogue as the file holds it now, or the last good one. Costs one `stat`."""
        signature = self._sign()
        if signature != self._signature:
            self._signature = signature
            self._reload()
        return self._server_registry

    def _reload(self) -> None:
        try:
            self._server_registry = ServerRegistry.load(self._path)
        except ServerRegistryError as error:
            _log.error("catalogue_refused", error=str(error), in_use="the last good one")
        else:
            _log.info("catalogue_read_again", servers=self._server_registry.names())

    def _sign(self) -> _Signature | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
