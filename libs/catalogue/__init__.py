"""The operator's catalogue of MCP servers: what a tenant may name, and what only an operator may define."""

from libs.catalogue.catalogue import Catalogue
from libs.catalogue.entry import Entry, HttpEntry, Limits, StdioEntry
from libs.catalogue.errors import CatalogueError
from libs.catalogue.file import CatalogueFile

__all__ = ["Catalogue", "CatalogueError", "CatalogueFile", "Entry", "HttpEntry", "Limits", "StdioEntry"]
