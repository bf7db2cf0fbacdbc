"""The server registry as a value. A document is accepted or rejected as a whole."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from libs.server_registry.entry import (
    NAME,
    Entry,
    HttpEntry,
    StdioEntry,
)
from libs.server_registry.errors import ServerRegistryError

_MODELS: Mapping[str, type[StdioEntry] | type[HttpEntry]] = {"stdio": StdioEntry, "http": HttpEntry}


class ServerRegistry:
    """The servers that an operator has registered, by name."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    @classmethod
    def load(cls, path: Path) -> "ServerRegistry":
        """Read `path`. Raises `ServerRegistryError` for the first broken rule, or if the file cannot be read."""
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ServerRegistryError(str(path), f"cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ServerRegistryError(str(path), f"is not TOML: {error}") from error
        return cls.parse(document, file=str(path))

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, file: str) -> "ServerRegistry":
        """Check a parsed document. Raises `ServerRegistryError`, whose message names `file`."""
        for key in document.keys() - {"servers"}:
            raise ServerRegistryError(file, "is an unknown key; servers are tables [servers.<name>]", key=key)
        servers = document.get("servers", {})
        if not isinstance(servers, dict):
            raise ServerRegistryError(file, "must be a table of servers", key="servers")
        return cls({name: _entry(name, table, file) for name, table in servers.items()})

    def get(self, name: str) -> Entry | None:
        """Return the entry of that name, or None."""
        return self._entries.get(name)

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(sorted(self._entries))


def _entry(name: str, table: object, file: str) -> Entry:
    if not NAME.fullmatch(name):
        raise ServerRegistryError(file, f"the name must match ^{NAME.pattern}$", entry=name)
    if not isinstance(table, dict):
        raise ServerRegistryError(file, "must be a table", entry=name)
    transport = table.get("transport")
    model = _MODELS.get(transport) if isinstance(transport, str) else None
    if model is None:
        raise ServerRegistryError(file, 'must be "stdio" or "http"', entry=name, key="transport")
    if "name" in table:
        raise ServerRegistryError(
            file, "is an unknown key; the name of the table is the server's name", entry=name, key="name"
        )
    try:
        return model.model_validate(table | {"name": name})
    except ValidationError as error:
        key, rule = _first_fault(error, model)
        raise ServerRegistryError(file, rule, entry=name, key=key) from error


def _first_fault(error: ValidationError, model: type[Entry]) -> tuple[str, str]:
    """Return the key and the rule of the first fault. The rule never repeats the value, which may be a secret."""
    fault = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return key, f"is an unknown key for a server with transport {_transport(model)!r}"
    if fault["type"] == "missing":
        return key, f"is required with transport {_transport(model)!r}"
    return key, fault["msg"].removeprefix("Value error, ")


def _transport(model: type[Entry]) -> str:
    return next(name for name, candidate in _MODELS.items() if candidate is model)
