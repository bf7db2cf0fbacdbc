"""The operator's registry of MCP servers. Tenants name a server; only operators define what it runs."""

from libs.server_registry.entry import (
    Entry,
    HttpEntry,
    ProcessLimits,
    StdioEntry,
)
from libs.server_registry.errors import ServerRegistryError
from libs.server_registry.file import ServerRegistryFile
from libs.server_registry.registry import ServerRegistry

__all__ = [
    "Entry",
    "HttpEntry",
    "ProcessLimits",
    "ServerRegistry",
    "ServerRegistryError",
    "ServerRegistryFile",
    "StdioEntry",
]
