"""The server registry as a file that operators edit while the suite runs."""

from pathlib import Path

import structlog

from libs.server_registry.errors import ServerRegistryError
from libs.server_registry.registry import ServerRegistry

_log = structlog.get_logger(__name__)

_Signature = tuple[int, int, int]


class ServerRegistryFile:
    """Reads the file again when it has changed, so that running services see new entries.

    If the file becomes invalid or disappears, the last valid registry stays in use. The error is logged once for each
    change of the file.
    """

    def __init__(self, path: Path) -> None:
        """Read `path`. Raises `ServerRegistryError` if it is invalid, because there is no earlier version to use."""
        self._path = path
        # The signature is read before the content. A change in between causes a second read and is never missed.
        self._signature = self._sign()
        self._server_registry = ServerRegistry.load(path)

    def current(self) -> ServerRegistry:
        """Return the registry as the file defines it now, or the last valid one. Costs one `stat`."""
        signature = self._sign()
        if signature != self._signature:
            self._signature = signature
            self._reload()
        return self._server_registry

    def _reload(self) -> None:
        try:
            self._server_registry = ServerRegistry.load(self._path)
        except ServerRegistryError as error:
            _log.error("server_registry_rejected", error=str(error), in_use="the last valid one")
        else:
            _log.info("server_registry_reloaded", servers=self._server_registry.names())

    def _sign(self) -> _Signature | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
